"""Sharpness-aware minimisation: take the gradient where the loss nearby is highest (Foret et al. 2021, arXiv:2010.01412)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Method, MethodSpec
from hfft.strategy.tensors import total_norm

if TYPE_CHECKING:
    from torch import nn


class SAM(MethodSpec):
    """Radius of the ascent step before the gradient is taken; the paper uses 0.05. A step costs twice as much."""

    main = "rho"
    rho: float = Field(default=0.05, ge=0)

    def build(self) -> Method | None:
        """The method; None if rho is 0."""
        return Sharpness(self) if self.rho else None


class Sharpness(Method):
    """Climbs `rho` along the gradient of the whole global batch and takes the gradient there."""

    passes = 2

    def __init__(self, spec: SAM):
        self.spec = spec

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Replace the gradient by the one at the worst point nearby; the weights are restored bit for bit."""
        with torch.no_grad():
            moved = [(p, p.detach().clone(), p.grad) for p in model.parameters() if p.grad is not None]
            scale = self.spec.rho / (total_norm([grad for _, _, grad in moved]) + 1e-12)
            for parameter, _, grad in moved:
                parameter.add_(grad.to(parameter.dtype) * scale)
        again()
        with torch.no_grad():
            for parameter, before, _ in moved:
                parameter.copy_(before)
