"""Clip each entry of the gradient to an interval, as torch's `clip_grad_value_`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


class ClipValue(MethodSpec):
    """Clipping by value, before that by norm (`training.max_grad_norm`).

    Attributes:
        value: largest absolute value of an entry of the gradient; 0 clips nothing, as for `max_grad_norm`.
    """

    main = "value"
    value: float = Field(ge=0)

    def build(self) -> Method | None:
        """The method; None if value is 0."""
        return ByValue(self) if self.value else None


class ByValue(Method):
    """Clips the gradient of the whole global batch, and of methods' modules."""

    def __init__(self, spec: ClipValue):
        self.spec = spec

    def change_gradients(self, parameters: Mapping[str, nn.Parameter], weight: Tensor | None, at: At) -> None:
        """Clip all of them."""
        limit = self.spec.value if weight is None else weight * self.spec.value
        for parameter in parameters.values():
            if parameter.grad is not None:
                parameter.grad = clip_value(parameter.grad, limit)


def clip_value(gradient: Tensor, limit: float | Tensor) -> Tensor:
    """The gradient with each entry in [-limit, limit], in the same shape.

    An infinite entry stays: the run must see that the step is not finite.
    """
    clipped = torch.clamp(gradient, -limit, limit)  # type: ignore[arg-type]  # torch takes both kinds
    return torch.where(gradient.isinf(), gradient, clipped)
