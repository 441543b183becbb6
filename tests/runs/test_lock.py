"""One start at a time in a run folder, whoever is killed, and wherever the folder is."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from hfft import cli
from hfft.errors import BadInput
from hfft.runs import lock
from hfft.runs.lock import NAME, lock_folder
from tests.torture import runs

FORK = multiprocessing.get_context("fork")


def hold(folder: Path, worker: bool, ready) -> None:
    with lock_folder(folder):
        if worker:  # one that outlives its parent, as those of a DataLoader do for seconds
            child = FORK.Process(target=time.sleep, args=(30,))
            child.start()
            ready.send(child.pid)
        else:
            ready.send(os.getpid())
        time.sleep(60)


@pytest.fixture
def holder():
    """Start a process that holds a folder; it is killed in the end."""
    started, pids = [], []

    def start(folder: Path, worker: bool = False):
        here, there = FORK.Pipe()
        process = FORK.Process(target=hold, args=(folder, worker, there))
        process.start()
        started.append(process)
        pids.append(here.recv())
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.slow
def test_a_second_start_is_refused_in_one_line_and_changes_nothing(tmp_path, holder, monkeypatch, capsys):
    monkeypatch.setattr(lock, "PATIENCE", 0.3)
    run = tmp_path / "run"
    process = holder(run)
    words = ["train", str(runs.write_recipe(tmp_path)), f"training.output_dir={run}", "--fresh"]
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{run} is in use by process {process.pid} on ")
    assert line.endswith("wait for it to end, stop it, or use another training.output_dir")
    assert [path.name for path in run.iterdir()] == [NAME]


@pytest.mark.parametrize("worker", [False, True])
def test_a_killed_holder_holds_no_longer_even_where_its_workers_live_on(tmp_path, holder, monkeypatch, worker):
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    process = holder(tmp_path / "run", worker)
    with pytest.raises(BadInput), lock_folder(tmp_path / "run"):
        pass
    process.kill()
    process.join()
    with lock_folder(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists(), "nothing is left of it"


@pytest.mark.slow
def test_one_that_is_just_ending_is_waited_for(tmp_path, holder):
    process = holder(tmp_path)
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    FORK.Process(target=_kill_later, args=(process.pid,)).start()
    with lock_folder(tmp_path):
        assert time.monotonic() - began >= 0.3


def _kill_later(pid: int) -> None:
    time.sleep(0.4)
    os.kill(pid, signal.SIGKILL)


def count(folder: Path, counter: Path, times: int) -> None:
    lock._PAUSE, lock.PATIENCE = 0.001, 60.0  # on busy cores one of them may have to wait long
    for _ in range(times):
        with lock_folder(folder):
            number = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(number + 1))


def test_two_never_hold_it_at_once_though_each_removes_its_file(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [FORK.Process(target=count, args=(tmp_path / "run", counter, 20)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert counter.read_text() == "80"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch, code):
    def none(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "lockf", none)
    with lock_folder(tmp_path / "run"), lock_folder(tmp_path / "run"):
        (tmp_path / "run" / "kept").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["kept"]
