"""Partners for mixing: a permutation of the data set, so that pairs are the same for every split of a batch."""

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
        salt: tells the draws of one such method from another's.
    """

    needs = frozenset({"inputs", "continuous"})
    problems = CLASSES
    salt: int

    def start(self, setting: Setting) -> None:
        """Keep how many rows there are."""
        assert setting.rows is not None
        self.size = setting.rows

    @property
    def partner(self) -> str:
        """The name of the partners' part."""
        return f"{self.name} partner"

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """The partner of each row in the epoch's permutation."""
        order = np.random.default_rng((seed, epoch, self.salt)).permutation(self.size)
        return {self.partner: Companion(order[rows])}


def shares(batch: Batch, alpha: float, salt: int) -> np.ndarray:
    """`(B,)` shares of each row in its mixture, from Beta(alpha, alpha), drawn for (seed, epoch, row)."""
    assert batch.rows is not None
    seed, epoch = batch.at.seed, batch.at.epoch
    return np.array([np.random.default_rng((seed, epoch, int(row), salt)).beta(alpha, alpha) for row in batch.rows])


def mixed_targets(targets: Sequence[Target], labels: Tensor, lam: Tensor) -> list[Target]:
    """The targets by their share `lam` `(B,)`, and the partners' labels by the rest."""
    task = [t for t in targets if t.part == TASK]
    kept = [replace(t, factor=lam if t.factor is None else t.factor * lam) for t in task]
    return [*kept, Target(labels, 1 - lam), *(t for t in targets if t.part != TASK)]
