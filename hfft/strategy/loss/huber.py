"""Huber loss: outliers pull with a limited force (Huber 1964)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import F
from hfft.strategy.method import At, Inner, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor


class Huber(MethodSpec):
    """Half the squared error up to an error of delta, in the targets' units, and linear beyond.

    Predictions remain estimates of the mean, but rare large errors move them less. The validation loss and the metrics
    are those of the plain problem: squared error, rmse and so on.
    """

    main = "delta"
    delta: float = Field(default=1.0, gt=0)

    def build(self) -> Method:
        """The method."""
        return HuberLoss(self)


class HuberLoss(Method):
    """Replaces the task loss."""

    problems = ("regression",)
    replaces_loss = True

    def __init__(self, spec: Huber):
        self.spec = spec

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The Huber loss, averaged over the outputs."""
        return huber(logits, labels, self.spec.delta)


def huber(outputs: Tensor, labels: Tensor, delta: float = 1.0) -> Tensor:
    """Mean over the outputs of `e^2 / 2` for errors up to delta and `delta (|e| - delta / 2)` beyond: `(B,)`.

    Outputs `(B, D)`, labels `(B, D)` or `(B,)`. Without outliers its gradient is half that of the squared error.
    """
    labels = labels.to(outputs.dtype).view_as(outputs)
    return F.huber_loss(outputs, labels, reduction="none", delta=delta).flatten(1).mean(1)
