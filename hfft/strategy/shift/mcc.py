"""Minimum class confusion on unlabelled rows of another domain (Jin et al. 2020, arXiv:1912.03699)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import Method, Pass
from hfft.strategy.shift.target import TargetRows, TargetSpec
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor


class MCC(TargetSpec):
    """Reduce class confusion on the rows of another set.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the confusion in the loss.
        temperature: softmax temperature of the predictions; the paper uses 2.5.
    """

    temperature: float = Field(default=2.5, gt=0)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else ClassConfusion(self)


class ClassConfusion(TargetRows):
    """Reads rows of the other set in addition to those of the task; their labels are never used."""

    problems = ("single_label_classification",)
    spec: MCC

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted confusion."""
        return {"mcc": self.weight(seen.at) * mcc(self.target(seen.logits), self.spec.temperature)}


def mcc(logits: Tensor, temperature: float = 2.5) -> Tensor:
    """Mean confusion between classes from logits `(N, C)`, with rows weighted by their certainty; in [0, 1)."""
    p = (logits / temperature).softmax(1)
    entropy = -(p * torch.log(p + 1e-5)).sum(1)
    weight = (1 + torch.exp(-entropy)).detach()
    weight = len(p) * weight / weight.sum()
    confusion = p.T @ (p * weight[:, None])
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / p.shape[1]
