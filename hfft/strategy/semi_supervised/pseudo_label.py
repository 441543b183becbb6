"""Pseudo-label: learn rows without labels by the class that the model predicts for them (Lee 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import Companion, Method, MethodSpec, Pass
from hfft.strategy.semi_supervised.views import Unlabelled, pseudo_label_loss
from hfft.strategy.weight import Ramp, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class PseudoLabel(MethodSpec):
    """Learn each row without a label as if its most probable class were its label, if that is sure.

    Attributes:
        on: the name of the set in `data.sets`; its labels are never used.
        ratio: rows of the set read for each row of the task.
        threshold: probability of the predicted class from which on a row counts; 0 is the paper, USB uses 0.95.
        weight: factor of the term; rises from 0 to 1 over the first 40 % of the steps, as in USB.
    """

    main = "on"
    on: str
    ratio: int = Field(default=1, ge=1)
    threshold: float = Field(default=0.95, ge=0, le=1)
    weight: WeightSpec = Ramp(end=1.0, over=0.4)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else OwnClasses(self)


class OwnClasses(Unlabelled):
    """The same view is predicted and learned, so that one pass does both."""

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """Rows of the set, as `data.augment` makes them."""
        numbers = self.numbers(rows, epoch, seed)
        return {part: Companion(numbers[:, k], of=self.spec.on) for k, part in enumerate(self.parts("row"))}

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted cross-entropy of each row's companions."""
        logits = torch.stack([seen.logits[part] for part in self.parts("row")], 1)
        value = pseudo_label_loss(logits, logits.detach().softmax(2), self.spec.threshold)
        return {self.name: self.weight(seen.at) * value}
