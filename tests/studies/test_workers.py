"""Processes that run the children of a study: their answers, their ends, and how they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hfft.runs import signals
from hfft.runs.signals import Stopped
from hfft.studies import workers
from hfft.studies.train_child import DiskFull
from tests.studies.fake_runs import tiny

# Speaks as a worker does, by the seed of the recipe: 1 to 9 are finished, 10 fails, 20 meets a full disk, 30 is killed, and
# 40 takes long, until it is asked to stop.
FAKE = """
import json, os, signal, sys, time
for line in sys.stdin:
    recipe = json.loads(line)
    seed, place = recipe["training"]["seed"], recipe["training"]["output_dir"]
    open(f"{place}/{seed}-{os.getpid()}", "w").close()
    if seed == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 40:
        signal.signal(signal.SIGTERM, lambda *_: (open(f"{place}/stopped", "w").close(), os._exit(143)))
        open(f"{place}/waiting", "w").close()
        time.sleep(60)
    print(json.dumps({"failed": "why" if seed == 10 else None, "full": "no room" if seed == 20 else None}), flush=True)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run children of these seeds; returns what they came to by seed."""
    monkeypatch.setattr(workers, "COMMAND", [sys.executable, "-c", FAKE])

    def run(seeds: list[int], jobs: int) -> dict[int, str | None]:
        recipes = [tiny(f"training.seed={seed}", f"training.output_dir={tmp_path}") for seed in seeds]
        return {seeds[number]: why for number, why in workers.run_children(recipes, jobs, threads=1)}

    return run


def started(folder) -> dict[int, str]:
    """Seed -> the process that ran it."""
    return {int(name.partition("-")[0]): name.partition("-")[2] for name in os.listdir(folder) if "-" in name}


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_each_child_runs_once_and_processes_are_used_again(run, tmp_path, jobs):
    assert run([1, 2, 10, 3, 4], jobs) == {1: None, 2: None, 10: "why", 3: None, 4: None}
    found = started(tmp_path)
    assert sorted(found) == [1, 2, 3, 4, 10]
    assert len({*found.values()}) <= jobs


def test_a_process_that_is_killed_is_one_child_and_another_one_goes_on(run, tmp_path):
    found = run([1, 30, 2, 3], 1)
    assert found == {1: None, 30: "its process ended with signal 9, perhaps for lack of memory", 2: None, 3: None}
    processes = started(tmp_path)
    assert processes[1] == processes[30] != processes[2] == processes[3]


def test_a_full_disk_stops_the_others_too(run, tmp_path):
    with pytest.raises(DiskFull, match="no room"):
        run([40, 20, 1], 2)
    assert (tmp_path / "stopped").exists() or not (tmp_path / "waiting").exists()
    assert 1 not in started(tmp_path)


def test_a_signal_stops_every_process_where_it_can_be_continued(run, tmp_path):
    def send() -> None:
        while not (tmp_path / "waiting").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(Stopped) as stop, signals.handled():
        run([40, 1], 2)
    sender.join()
    assert stop.value.exit_code == 128 + signal.SIGTERM
    assert (tmp_path / "stopped").exists()


def test_a_worker_whose_study_has_ended_ends_before_it_imports_anything():
    environment = {**os.environ, "HFFT_STUDY_PARENT": "1"}  # another process is this one's parent
    done = subprocess.run([sys.executable, "-m", "hfft.studies.worker"], env=environment, input="", text=True)
    assert done.returncode == 1
