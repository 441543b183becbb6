"""Minimise the entropy of predictions, also on rows without labels (Grandvalet and Bengio 2004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.lazy import F
from hfft.strategy.method import TASK, Companion, Method, MethodSpec, Pass, Setting
from hfft.strategy.random_numbers import rows_in_turn
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class Entropy(MethodSpec):
    """Add the entropy of the predictions to the loss, so that classes are separated where there are few rows.

    Attributes:
        weight: factor of the entropy.
        on: the name of a set in `data.sets` whose rows are read beside the task's, as many in each step; None for the
            task's own rows.
    """

    main = "weight"
    weight: WeightSpec = 0.1
    on: str | None = Field(default=None, min_length=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        if is_zero(self.weight):
            return None
        return Certain(self) if self.on is None else CertainElsewhere(self)


class Certain(Method):
    """Adds the entropy of each row's prediction."""

    problems: tuple[str, ...] | None = ("single_label_classification", "multi_label_classification")
    part = TASK

    def __init__(self, spec: Entropy):
        self.spec, self.weight = spec, Weight(spec.weight, default=0.1)

    def start(self, setting: Setting) -> None:
        """Remember the problem."""
        self.multi_label = setting.problem.multi_label

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted entropy."""
        return {"entropy": self.weight(seen.at) * entropy(seen.logits[self.part], self.multi_label)}


class CertainElsewhere(Certain):
    """Reads a row of the other set for each row of the task; labels of the set, if any, are not used."""

    passes = 2  # the other set's rows are as many
    reads_as_prepared = True

    def start(self, setting: Setting) -> None:
        """Remember the problem and the number of rows in the set."""
        super().start(setting)
        assert self.spec.on is not None
        self.part, self.size, self.rows = self.spec.on, setting.sets[self.spec.on], setting.rows

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """All rows of the set in turn, over all epochs."""
        return {self.part: Companion(rows_in_turn(rows, self.size, epoch, seed, self.rows), of=self.part)}


def entropy(logits: Tensor, multi_label: bool = False) -> Tensor:
    """Entropy of each prediction in nats, of logits `(B, C)`: `(B,)`, in [0, log C].

    Args:
        multi_label: the outputs are independent, and their entropies are added: in [0, C log 2].
    """
    if multi_label:
        p = logits.sigmoid()
        return -(p * F.logsigmoid(logits) + (1 - p) * F.logsigmoid(-logits)).sum(1)
    log_p = F.log_softmax(logits, 1)
    return -(log_p.exp() * log_p).sum(1)
