"""Mixup: average two rows, and learn both labels (Zhang et al. 2018, arXiv:1710.09412)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Target
from hfft.strategy.mix.pairs import CLASSES, Mixing, mixed_targets

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem


class Mixup(MethodSpec):
    """Average each row with another one, and learn both labels; numbers to predict are averaged.

    Attributes:
        alpha: a row's share is drawn from Beta(alpha, alpha). Fine-tuning uses 0.1 to 0.4, training from scratch 1.
        until: the epoch, counted from 0, from which on rows are not mixed; None for never.
    """

    main = "alpha"
    alpha: float = Field(default=0.2, ge=0)
    until: int | None = Field(default=None, ge=0)

    def build(self) -> Method | None:
        """The method; None if alpha or until is 0."""
        return Mixed(self) if self.alpha and self.until != 0 else None


class Mixed(Mixing):
    """Changes inputs and targets; reads twice as many rows."""

    problems = (*CLASSES, "regression")
    salt = 1

    def __init__(self, spec: Mixup):
        self.spec = spec

    def batch(self, batch: Batch) -> None:
        """Average each row with its partner."""
        if not self.on(batch.at.epoch):
            return
        labels = batch.part_labels[self.partner]
        partner = self.partners(batch)
        lam = torch.from_numpy(self.shares(batch)).to(labels.device, torch.float32)
        own = batch.part(TASK)
        floats = [name for name, value in own.items() if torch.is_tensor(value) and value.is_floating_point()]
        batch.replace(TASK, {name: mixup(own[name], partner[name], lam) for name in floats})
        batch.targets = averaged_targets(self.problem, batch.targets, labels, lam)


def averaged_targets(problem: Problem | None, targets: Sequence[Target], labels: Tensor, lam: Tensor) -> list[Target]:
    """The targets of rows that were averaged with their partners by `lam` `(B,)`.

    Of classes both labels count, each times its share. Numbers to predict are averaged, as in the paper: for the squared
    error this has the same gradient, and it is right for every other loss too.
    """
    if problem is None or problem.class_names:
        return mixed_targets(targets, labels, lam)
    return [replace(t, labels=mixup(t.labels, labels, lam)) if t.part == TASK else t for t in targets]


def mixup(left: Tensor, right: Tensor, lam: Tensor) -> Tensor:
    """`lam * left + (1 - lam) * right` row by row; tensors `(B, …)`, `lam` `(B,)` in [0, 1]."""
    lam = lam.to(left.dtype).view(-1, *(1,) * (left.ndim - 1))
    return lam * left + (1 - lam) * right
