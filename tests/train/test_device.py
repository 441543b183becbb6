"""What makes a CPU fast without changing what it computes: memory that stays, and as many threads as there is work for."""

import contextlib
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hfft.frozen_cache.split_point import Cut
from hfft.frozen_cache.threads import one_thread
from hfft.train import device
from hfft.train.device import freed_memory_kept
from tests.frozen_cache.test_frozen_cache import trained

CPU = torch.device("cpu")


FAULTS = """
import resource, runpy, sys, torch
freed_memory_kept = runpy.run_path(sys.argv[1])["freed_memory_kept"]  # without the rest of the package, for its seconds

def faults(steps=5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        torch.ones(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

outside = faults()
with freed_memory_kept(torch.device("cpu")):
    faults(20)  # glibc's small caches fill first, and keep a few blocks apart from each other
    inside = faults()
print(outside, inside, faults())
"""


def faults():
    """Pages that the system had to bring while a large tensor was made and let go of again and again: before, in, after.

    In a process of its own: what the allocator can give back depends on all that the process had before.
    """
    run = subprocess.run([sys.executable, "-c", FAULTS, device.__file__], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return [int(count) for count in run.stdout.split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_large_tensor_is_made_from_what_was_let_go_of_and_given_back_at_the_end():
    before, inside, after = faults()
    assert inside < before / 50
    assert after > 0.9 * before / 5  # once at least


def test_whoever_chose_the_allocators_settings_keeps_them(monkeypatch):
    told = []
    libc = SimpleNamespace(mallopt=lambda *setting: told.append(setting), malloc_trim=told.append)
    monkeypatch.setattr("hfft.train.device.ctypes.CDLL", lambda name: libc)
    with freed_memory_kept(CPU):
        assert len(told) == 2
    told.clear()
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    with freed_memory_kept(CPU):
        pass
    assert told == []


def test_a_gpu_needs_neither():
    threads = torch.get_num_threads()
    with freed_memory_kept(torch.device("cuda")), one_thread(torch.device("cuda")):
        assert torch.get_num_threads() == threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_thread_is_for_what_is_inside(two_threads):
    with one_thread(CPU):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with contextlib.suppress(KeyboardInterrupt), one_thread(CPU):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("few", "expected"), [(1e7, 1), (0, 2)])
def test_little_behind_the_cut_is_computed_by_one_thread_and_what_is_in_front_by_all(
    few, expected, two_threads, tmp_path, monkeypatch
):
    monkeypatch.setattr("hfft.frozen_cache.frozen_cache.FEW", few)
    recording, record = [], Cut.record
    monkeypatch.setattr(Cut, "record", lambda *args: recording.append(torch.get_num_threads()) or record(*args))
    trainer = trained(tmp_path / "run", "bert", "head", kept=tmp_path / "cache", run=False)
    behind = []
    trainer.model.classifier.register_forward_pre_hook(lambda *args: behind.append(torch.get_num_threads()))
    trainer.train()
    assert set(recording) == {2}
    assert behind[-5:] == [expected] * 5
    assert torch.get_num_threads() == 2
