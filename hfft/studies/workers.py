"""Run children of a study in several processes, each of which runs one child after another."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any

from hfft.recipe import Recipe
from hfft.runs.signals import Stopped
from hfft.studies.train_child import DiskFull

COMMAND = [sys.executable, "-m", "hfft.studies.worker"]
PATIENCE = 60.0  # seconds in which a worker may save a checkpoint when the study is stopped


class Worker:
    """A process that takes recipes, a line each, and answers with why they failed."""

    def __init__(self, threads: int):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HFFT_STUDY_PARENT": str(os.getpid())}
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the study alone, which then stops its workers
        )
        self.child = -1  # which of the children it runs

    @property
    def answers(self) -> IO[str]:
        """Where its answers come from."""
        assert self.process.stdout is not None
        return self.process.stdout

    def begin(self, child: int, recipe: Recipe) -> bool:
        """Give it a child to run; returns whether it took it."""
        self.child = child
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(recipe.resolved()) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def answer(self) -> str | None:
        """Why the child that it ran failed; None if it is finished.

        Raises:
            DiskFull: there is no room to write.
            Stopped: someone stopped the worker with a signal.
        """
        line = self.answers.readline()
        if not line:
            status = self.process.wait()
            if status in (128 + signal.SIGTERM, 128 + signal.SIGINT):
                raise Stopped(status - 128)
            killed = f"signal {-status}" if status < 0 else f"status {status}"
            return f"its process ended with {killed}" + (", perhaps for lack of memory" if status == -9 else "")
        found: dict[str, Any] = json.loads(line)
        if found["full"]:
            raise DiskFull(found["full"])
        return found["failed"]

    def stop(self) -> None:
        """Ask it to stop after its current step, where it can be continued."""
        with contextlib.suppress(OSError):
            self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Wait until it has ended."""
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_children(recipes: Sequence[Recipe], jobs: int, threads: int) -> Iterator[tuple[int, str | None]]:
    """(number of the recipe, why it failed or None) of each child as it ends, with `jobs` of them running at once.

    Raises:
        DiskFull: there is no room to write; the others were stopped where they can be continued.
    """
    waiting = list(range(len(recipes)))[::-1]
    workers: list[Worker] = []
    with selectors.DefaultSelector() as ready:

        def start(worker: Worker | None) -> None:
            """Give a worker the next child, or a new one in its place if it has ended."""
            number = waiting.pop()
            if worker is None or not worker.begin(number, recipes[number]):
                worker = Worker(threads)
                workers.append(worker)
                worker.begin(number, recipes[number])
                ready.register(worker.answers, selectors.EVENT_READ, worker)

        try:
            for _ in range(min(jobs, len(recipes))):
                start(None)
            left = len(recipes)
            while left:
                for key, _ in ready.select():
                    worker: Worker = key.data
                    why = worker.answer()
                    ended = worker.process.poll() is not None
                    if ended:
                        ready.unregister(worker.answers)
                    left -= 1
                    number = worker.child
                    if waiting:
                        start(None if ended else worker)
                    yield number, why
        except BaseException:
            for worker in workers:
                worker.stop()
            raise
        finally:
            for worker in workers:
                worker.close()
