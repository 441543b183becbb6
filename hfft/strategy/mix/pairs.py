"""Partners for mixing: a permutation of the data set, so that pairs are the same however a batch is split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.strategy.method import TASK, Batch, Companion, Method, Setting, Target

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem

CLASSES = ("single_label_classification", "multi_label_classification")
SWITCH = 9  # the salt of the draw which of two methods mixes a row


class Mixing(Method):
    """A method that mixes each row with a partner from the training rows.

    Two of them share a row's partner, which is read once, and each row is mixed by one of them, drawn from (seed, epoch, row).

    Attributes:
        salt: makes the draws of such methods differ from each other.
        switch_prob: probability that a row is mixed by this method if two are on; None for those that the other one leaves.
    """

    needs = frozenset({"inputs", "continuous"})
    problems: tuple[str, ...] | None = CLASSES
    mixes = True
    salt: int
    spec: Any
    switch_prob: float | None = None
    problem: Problem | None = None
    beside: Sequence[Mixing] = ()  # all methods that mix, in order

    def start(self, setting: Setting) -> None:
        """Remember the number of rows, and which methods mix."""
        assert setting.rows is not None
        self.size, self.problem = setting.rows, setting.problem
        self.beside = [method for method in setting.methods if isinstance(method, Mixing)]

    @property
    def partner(self) -> str:
        """The name of the part with the partners."""
        return f"{self._first.name} partner"

    @property
    def _first(self) -> Mixing:
        return self.beside[0] if self.beside else self

    def on(self, epoch: int) -> bool:
        """Whether rows are mixed in this epoch."""
        return self.spec.until is None or epoch < self.spec.until

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """The partner of each row, from the epoch's permutation."""
        if not self.on(epoch):
            return {}
        order = np.random.default_rng((seed, epoch, self._first.salt)).permutation(self.size)
        return {self.partner: Companion(order[rows])}

    def partners(self, batch: Batch) -> dict[str, Any]:
        """The inputs of the rows' partners, which are no part of the batch any more."""
        if self.partner in batch.parts:
            batch.notes[self.partner] = batch.take(self.partner)
        return batch.notes[self.partner] if len(self.beside) > 1 else batch.notes.pop(self.partner)

    def shares(self, batch: Batch) -> np.ndarray:
        """`(B,)` share of each row in its mixture; 1 for rows that another method mixes."""
        assert batch.rows is not None
        found, at = shares(batch, self.spec.alpha, self.salt), batch.at
        others = [method for method in self.beside if method is not self and method.on(at.epoch)]
        for one in (self, *others) if others else ():
            if one.switch_prob is not None:
                taken = at.draws(batch.rows, 1, SWITCH)[:, 0] < one.switch_prob
                found = np.where(taken == (one is self), found, 1.0)
        return found


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
