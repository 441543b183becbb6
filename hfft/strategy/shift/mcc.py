"""Minimum class confusion on unlabelled rows of another domain (Jin et al. 2020, arXiv:1912.03699)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import Companion, Method, MethodSpec, Pass, Setting
from hfft.strategy.random_numbers import rows_in_turn
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class MCC(MethodSpec):
    """Reduce class confusion on the rows of another set. Each step runs as many of its rows as of the task's.

    Attributes:
        on: the name of the set in `data.sets`.
        temperature: softmax temperature of the predictions; the paper uses 2.5.
        weight: factor of the confusion in the loss.
    """

    main = "on"
    on: str
    temperature: float = Field(default=2.5, gt=0)
    weight: WeightSpec = 1.0

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else ClassConfusion(self)


class ClassConfusion(Method):
    """Reads rows of the other set in addition to those of the task; their labels are never used."""

    problems = ("single_label_classification",)
    passes = 2  # the other set's rows are as many

    def __init__(self, spec: MCC):
        self.spec, self.weight = spec, Weight(spec.weight)

    def start(self, setting: Setting) -> None:
        """Remember the number of rows in the set."""
        self.size = setting.sets[self.spec.on]

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """One row of the set for each row of the task: all of them in turn, in an order drawn for the epoch."""
        return {self.spec.on: Companion(rows_in_turn(rows, self.size, epoch, seed), of=self.spec.on)}

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted confusion."""
        return {"mcc": self.weight(seen.at) * mcc(seen.logits[self.spec.on], self.spec.temperature)}


def mcc(logits: Tensor, temperature: float = 2.5) -> Tensor:
    """Mean confusion between classes from logits `(N, C)`, with rows weighted by their certainty; in [0, 1)."""
    p = (logits / temperature).softmax(1)
    entropy = -(p * torch.log(p + 1e-5)).sum(1)
    weight = (1 + torch.exp(-entropy)).detach()
    weight = len(p) * weight / weight.sum()
    confusion = p.T @ (p * weight[:, None])
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / p.shape[1]
