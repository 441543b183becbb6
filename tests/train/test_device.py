"""What makes a CPU fast without changing what it computes: as many threads as there is work for."""

import contextlib

import pytest
import torch

from hfft.frozen_cache.split_point import Cut
from hfft.frozen_cache.threads import one_thread
from tests.frozen_cache.test_frozen_cache import trained

CPU = torch.device("cpu")


def test_a_gpu_does_not_need_it():
    threads = torch.get_num_threads()
    with one_thread(torch.device("cuda")):
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


@pytest.mark.slow
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
