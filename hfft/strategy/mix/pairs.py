"""Partners for mixing: a permutation of the data set, so that pairs are the same however a batch is split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hfft.strategy.method import TASK, Batch, Companion, Method, Setting, Target

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = ("single_label_classification", "multi_label_classification")


class Mixing(Method):
    """A method that mixes each row with a partner from the training rows.

    Attributes:
        salt: makes the draws of such methods differ from each other.
    """

    needs = frozenset({"inputs", "continuous"})
    problems = CLASSES
    mixes = True
    salt: int

    def start(self, setting: Setting) -> None:
        """Remember the number of rows."""
        assert setting.rows is not None
        self.size = setting.rows

    @property
    def partner(self) -> str:
        """The name of the part with the partners."""
        return f"{self.name} partner"

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """The partner of each row, from the epoch's permutation."""
        order = np.random.default_rng((seed, epoch, self.salt)).permutation(self.size)
        return {self.partner: Companion(order[rows])}


def shares(batch: Batch, alpha: float, salt: int) -> np.ndarray:
    """`(B,)` share of each row in its mixture, from Beta(alpha, alpha), drawn from (seed, epoch, row)."""
    assert batch.rows is not None
    seed, epoch = batch.at.seed, batch.at.epoch
    return np.array([np.random.default_rng((seed, epoch, int(row), salt)).beta(alpha, alpha) for row in batch.rows])


def mixed_targets(targets: Sequence[Target], labels: Tensor, lam: Tensor) -> list[Target]:
    """The labels weighted by `lam` `(B,)`, and the partners' labels by `1 - lam`."""
    task = [t for t in targets if t.part == TASK]
    kept = [replace(t, factor=lam if t.factor is None else t.factor * lam) for t in task]
    return [*kept, Target(labels, 1 - lam), *(t for t in targets if t.part != TASK)]
