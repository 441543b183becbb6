"""Read the main metric of a study's children by arm and seed, and say a difference in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hfft.studies.curves import Estimate
from hfft.studies.study import Done, Measured, scored_split
from hfft.studies.table import Cell
from hfft.tasks.problem import smaller_is_better


@dataclass(frozen=True)
class Arms:
    """The figures of all arms.

    Attributes:
        split, metric, n: what the answer is about: the split, its main metric and its rows; no metric if nothing is scored.
    """

    done: Done
    seeds: tuple[int, ...]
    split: str
    metric: str
    n: int

    @classmethod
    def of(cls, done: Done, seeds: Iterable[int]) -> Arms:
        """The arms of what is done."""
        try:
            return cls(done, tuple(seeds), *scored_split(done))
        except LookupError:
            return cls(done, tuple(seeds), "test", "", 0)

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, -1 if less is."""
        return -1 if smaller_is_better(self.metric) else 1

    @property
    def heading(self) -> str:
        """What the figures are of, such as `test accuracy`."""
        return f"{self.split} {self.metric}"

    @property
    def sample(self) -> str:
        """`n=500, 5 seeds`."""
        return f"n={self.n}, {seeds_in_words(len(self.seeds))}"

    def cell(self, arm: str, measured: Measured | None = None, digits: int = 4) -> Cell:
        """The metric of an arm by seed, or what is measured instead."""
        measured = measured or (lambda figures: figures.value(self.split))
        there = {seed: self.done[f"{arm}-{seed}"] for seed in self.seeds if f"{arm}-{seed}" in self.done}
        found = {seed: value for seed, figures in there.items() if (value := measured(figures)) is not None}
        return Cell(found, digits=digits)

    def failed(self, *arms: str) -> dict[int, str]:
        """Seed -> why one of the arms failed."""
        names = [(arm, seed) for arm in arms for seed in self.seeds if f"{arm}-{seed}" in self.done]
        return {seed: f"{arm}: {why}" for arm, seed in names if (why := self.done[f"{arm}-{seed}"].failed) is not None}

    def together(self, arms: Sequence[str]) -> np.ndarray:
        """The metric `(seeds, arms)`, times `sign`, for the seeds that every arm has."""
        found = [self.cell(arm).values for arm in arms]
        common = [seed for seed in self.seeds if all(seed in values for values in found)]
        return self.sign * np.array([[values[seed] for values in found] for seed in common]).reshape(-1, len(arms))

    def difference(self, cell: Cell) -> str:
        """A difference of the metric in words: `+8.2 ± 0.8 points` (its 95% interval), or `-0.04 ± 0.01`."""
        return in_points(cell) if self.sign > 0 else plus_minus(cell, 1, 3)


def mean_of(cell: Cell) -> str:
    """`0.958`, the mean over the seeds; a dash without values."""
    found = cell.summary()
    return "–" if found is None else f"{found.mean:.3f}"


def in_points(cell: Cell) -> str:
    """A difference of shares as percentage points with half its 95% interval."""
    return f"{plus_minus(cell, 100, 1)} points"


def plus_minus(cell: Cell, factor: float, digits: int) -> str:
    """`+8.2 ± 0.8`: a mean, times a factor, with half its 95% interval; without one for a single seed."""
    found = cell.summary()
    if found is None:
        return "nothing"
    half = f" ± {factor * found.half:.{digits}f}" if found.n > 1 else ""
    return f"{factor * found.mean:+.{digits}f}{half}"


def between(found: Estimate, most: float, digits: int = 0) -> str:
    """An estimate with its interval: `1,180 [950, over 1,200]`; what was not reached is over the largest measured, `most`."""

    def text(value: float) -> str:
        return f"over {most:,.{digits}f}" if value == math.inf else f"{value:,.{digits}f}"

    if found.low == -math.inf:
        return text(found.value)
    return f"{text(found.value)} [{text(found.low)}, {text(found.high)}]"


def seeds_in_words(count: int) -> str:
    """`5 seeds`, `one seed`."""
    return "one seed" if count == 1 else f"{count} seeds"


def merged(*failed: Mapping[int, str]) -> dict[int, str]:
    """The reasons of several arms, by seed."""
    found: dict[int, str] = {}
    for part in failed:
        for seed, why in part.items():
            found[seed] = f"{found[seed]}; {why}" if seed in found else why
    return found
