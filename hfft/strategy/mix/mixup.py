"""Mixup: average two rows, and learn both labels (Zhang et al. 2018, arXiv:1710.09412)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec
from hfft.strategy.mix.pairs import Mixing, mixed_targets, shares

if TYPE_CHECKING:
    from torch import Tensor


class Mixup(MethodSpec):
    """A row's share in its mixture is drawn from Beta(alpha, alpha). Fine-tuning uses 0.1 to 0.4, training from scratch 1."""

    main = "alpha"
    alpha: float = Field(default=0.2, ge=0)

    def build(self) -> Method | None:
        """The method; None if alpha is 0."""
        return Mixed(self) if self.alpha else None


class Mixed(Mixing):
    """Changes inputs and targets; reads twice as many rows."""

    salt = 1

    def __init__(self, spec: Mixup):
        self.spec = spec

    def batch(self, batch: Batch) -> None:
        """Average each row with its partner."""
        labels = batch.part_labels[self.partner]
        partner = batch.take(self.partner)
        lam = torch.from_numpy(shares(batch, self.spec.alpha, self.salt)).to(labels.device, torch.float32)
        own = batch.part(TASK)
        floats = [name for name, value in own.items() if torch.is_tensor(value) and value.is_floating_point()]
        batch.replace(TASK, {name: mixup(own[name], partner[name], lam) for name in floats})
        batch.targets = mixed_targets(batch.targets, labels, lam)


def mixup(left: Tensor, right: Tensor, lam: Tensor) -> Tensor:
    """`lam * left + (1 - lam) * right` row by row; tensors `(B, …)`, `lam` `(B,)` in [0, 1]."""
    lam = lam.to(left.dtype).view(-1, *(1,) * (left.ndim - 1))
    return lam * left + (1 - lam) * right
