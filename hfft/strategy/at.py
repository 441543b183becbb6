"""The current point of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class At:
    """The current point of a training run.

    Attributes:
        step: optimiser steps done.
        epoch: the current one, counted from 0.
        share: fraction of the whole training that is done, 0 to 1.
        seed: the run's seed.
    """

    step: int
    epoch: int
    share: float
    seed: int

    def draws(self, rows: Sequence[int] | np.ndarray, count: int = 1, salt: int = 0) -> np.ndarray:
        """`(len(rows), count)` numbers in [0, 1) from (seed, epoch, row, salt) alone: the same however a batch is split."""
        return np.stack([np.random.default_rng((self.seed, self.epoch, int(row), salt)).random(count) for row in rows])
