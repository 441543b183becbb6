"""Penalise confident predictions (Pereyra et al. 2017, arXiv:1701.06548)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.strategy.method import TASK, Method, MethodSpec, Pass, Setting
from hfft.strategy.regularise.entropy import entropy
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class ConfidencePenalty(MethodSpec):
    """Subtract the entropy of the predictions from the loss: the effect is close to that of label smoothing.

    Attributes:
        weight: factor of the entropy; the paper uses 0.1 to 2.
    """

    main = "weight"
    weight: WeightSpec = 0.1

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Doubted(self)


class Doubted(Method):
    """Adds minus the entropy of each row's prediction."""

    problems = ("single_label_classification", "multi_label_classification")

    def __init__(self, spec: ConfidencePenalty):
        self.spec, self.weight = spec, Weight(spec.weight, default=0.1)

    def start(self, setting: Setting) -> None:
        """Remember the problem."""
        self.multi_label = setting.problem.multi_label

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """Minus the weighted entropy."""
        return {"confidence_penalty": -self.weight(seen.at) * entropy(seen.logits[TASK], self.multi_label)}
