"""Make features on which no second classifier can disagree with the head (MDD; Zhang et al. 2019, arXiv:1904.05801)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import TASK, Method, Pass, Setting
from hfft.strategy.shift.adversary import Adversary, AdversarySpec, feature_width
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor


class MDD(AdversarySpec):
    """Train a second classifier to agree with the head on the task's rows alone, and the backbone against it.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the margin disparity discrepancy.
        alpha: how fast the reversed gradient grows over the run: its factor is `reversal` times
            `2 / (1 + exp(-alpha p)) - 1` at the fraction p.
        hidden: width of the hidden layer of the second classifier, which learns at the head's rate and is not published.
        margin: factor of agreement on the task's rows; the paper uses 2 to 4.
        reversal: the largest factor of the reversed gradient; the paper uses 0.1.
    """

    margin: float = Field(default=4.0, gt=0)
    reversal: float = Field(default=0.1, gt=0)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Disparity(self)


class Disparity(Adversary):
    """Adds the loss of the second classifier behind a reversed gradient."""

    problems = ("single_label_classification",)
    spec: MDD

    def widths(self, setting: Setting) -> Sequence[int]:
        """The widths of the second classifier."""
        return feature_width(setting), self.spec.hidden, setting.outputs

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted loss."""
        second, most = self.inside["network"], self.spec.reversal
        agree = agreement(seen.logits[TASK], second(self.reversed(seen.features[TASK], seen.at, most)))
        other = second(self.reversed(self.target(seen.features), seen.at, most))
        differ = self.row_means(disagreement(self.target(seen.logits), other))
        return {"mdd": self.weight(seen.at) * (self.spec.margin * agree + differ)}


def agreement(logits: Tensor, second: Tensor) -> Tensor:
    """Cross-entropy of a second classifier for the head's answers, both logits `(B, C)`: `(B,)`."""
    return F.cross_entropy(second, logits.argmax(1), reduction="none")


def disagreement(logits: Tensor, second: Tensor) -> Tensor:
    """`-log(1 - p)`, p being what a second classifier gives to the head's answers, both logits `(B, C)`: `(B,)`."""
    p = second.softmax(1).gather(1, logits.argmax(1)[:, None]).squeeze(1)
    return -torch.log((1 - p + 1e-6).clamp(max=1))
