"""The matrix of resumed runs: whatever a run reads, trains and keeps, it goes on as if nothing had stopped it."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.layers.spec import Schedule
from hfft.train import FineTuner
from tests.torture.runs import equal
from tests.train.test_resume import LORA, outcome, resumed, trainer_of

# Ten rows in batches of four: three an epoch, two steps with accumulation; nine steps or six in all.
STOPS = {
    (1, "epoch's end", "once"): (3,),
    (1, "epoch's end", "twice"): (3, 6),
    (1, "mid-epoch", "once"): (4,),
    (1, "mid-epoch", "twice"): (4, 8),
    (2, "epoch's end", "once"): (2,),
    (2, "epoch's end", "twice"): (2, 4),
    (2, "mid-epoch", "once"): (3,),
    (2, "mid-epoch", "twice"): (1, 3),
}
GRADUAL = {1: Schedule(type="gradual", every_steps=2), 2: Schedule(type="gradual", every_steps=1)}
ROWS: dict[str, dict[str, Any]] = {"rows": {}, "stream": {"stream": True}, "stream without a size": {"stream": True}}
TRAINED = ("full", "LoRA", "gradual")


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    rows: str
    workers: int
    accumulation: int
    trained: str
    augmented: bool
    where: str
    times: str
    cached: bool = False

    @property
    def run(self) -> tuple[Any, ...]:
        """What is trained, whoever loads it and wherever it stops."""
        return self.rows, self.accumulation, self.trained, self.augmented, self.cached

    def settings(self, cache: Path, workers: int) -> dict[str, Any]:
        """Arguments of `trainer_of`."""
        found = {"gradient_accumulation_steps": self.accumulation, "dataloader_num_workers": workers, **ROWS[self.rows]}
        found |= {"full": {}, "LoRA": LORA, "frozen": {"train": "last-1"}}.get(self.trained, {})
        if self.trained == "gradual":
            found["schedule"] = GRADUAL[self.accumulation]
        if self.rows == "stream without a size":
            found["max_steps"] = 9 // self.accumulation + self.accumulation - 1
        if self.cached:
            found["keeping"] = FrozenCacheSettings(cache, 10**9)
        return {**found, "augmented": self.augmented, "logging_steps": 5, "save_total_limit": 3}


def matrix() -> list[Case]:
    """Every combination; gradual unfreezing and frozen layers with the cache of what is frozen, too."""
    where, times = ("epoch's end", "mid-epoch"), ("once", "twice")
    cells = itertools.product(ROWS, (0, 2), (1, 2), TRAINED, (True, False), where, times)
    cached = itertools.product(["rows"], (0, 2), (1, 2), ("gradual", "frozen"), [False], where, times, [True])
    return [*(Case(*cell) for cell in cells), *(Case(*cell) for cell in cached)]


# Workers take twice the time and change nothing else: a third of their cells, in which every two other values meet.
CASES = [case for i, case in enumerate(matrix()) if case.workers == 0 or i % 3 == 0]


def resume(folder: Path, cases: Iterable[Case] = CASES) -> list[str]:
    """A line for each case whose weights, optimiser, scheduler or log history differ from those of the whole run."""
    failed = []

    @functools.cache
    def whole(run: tuple[Any, ...]) -> dict[str, Any]:
        """What the run ends with that nothing stops; without workers."""
        trainer = started[run](folder / "whole", folder / "whole-cache")
        trainer.train()
        shutil.rmtree(folder / "whole-cache", ignore_errors=True)
        return outcome(trainer)

    started = {}
    for case in cases:

        def first(path: Path, cache: Path, case: Case = case) -> FineTuner:
            return trainer_of(path, "vit", save_strategy="no", **case.settings(cache, 0))

        started.setdefault(case.run, first)
        stops = STOPS[case.accumulation, case.where, case.times]
        settings = case.settings(folder / "cache", case.workers)
        last = resumed(folder / "parts", stops, "vit", save_steps=stops[0], **settings)
        expected, found = whole(case.run), outcome(last)
        differ = [key for key in expected if not equal(expected[key], found[key])]
        if case.cached and not any((folder / "cache").rglob("*.bin")):
            differ.append("nothing was kept")
        if differ:
            failed.append(f"{case}: {', '.join(differ)}")
        for name in ("parts", "cache"):
            shutil.rmtree(folder / name, ignore_errors=True)
    return failed
