"""Weigh tasks by how uncertain they are, which is learned (Kendall et al. 2018, arXiv:1705.07115)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting
from hfft.strategy.tasks.by_task import ByTask

if TYPE_CHECKING:
    from torch import Tensor, nn


class Uncertainty(MethodSpec):
    """A learned variance for each task divides its loss, and its logarithm is added.

    The variances begin at 1. Their logarithms learn at `scale` times the head's rate: Adam moves a parameter by about its rate in
    a step, so that at the rates of a fine-tune they would hardly move.

    Attributes:
        enabled: whether the variances are learned; false leaves the method out.
        scale: how many times faster than the head the logarithms learn.
    """

    main = "enabled"
    enabled: bool = True
    scale: float = Field(default=10.0, gt=0)

    def build(self) -> Method | None:
        """The method; None if it is off."""
        return Variances(self) if self.enabled else None


class Variances(ByTask):
    """Changes the loss of each row by the variance of its task."""

    only_one = "weighs the tasks"

    def __init__(self, spec: Uncertainty):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Begin with a variance of 1 for each task."""
        super().start(setting)
        holder = torch.nn.Module()
        self.s = holder.s = torch.nn.Parameter(
            torch.zeros(self.count, device=setting.device, dtype=next(setting.model.parameters()).dtype)
        )
        self.holder = torch.nn.ModuleDict({"log_variances": holder})
        halves = [1.0 if problem.class_names else 0.5 for problem in self.problem.problems]
        self.halves = torch.tensor(halves, device=setting.device)

    def modules(self) -> nn.ModuleDict:
        """The logarithms of the variances."""
        return self.holder

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """`uncertain` of the loss of each row."""
        tasks, s = self.problem.tasks_of(labels), self.spec.scale * self.s
        return uncertain(inner(logits, labels), s[tasks], self.halves[tasks])


def uncertain(loss: Tensor, s: Tensor, half: Tensor) -> Tensor:
    """`half exp(-s) loss + s / 2`, with s the logarithm of a variance: `(B,)`.

    Args:
        half: 1/2 where the loss is a squared error, 1 where it is a cross-entropy.
    """
    return half * torch.exp(-s) * loss + s / 2
