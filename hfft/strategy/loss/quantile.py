"""Quantile (pinball) loss: predict a quantile of the target instead of its mean (Koenker and Bassett 1978)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Inner, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor


class Quantile(MethodSpec):
    """Predict the value that the target stays below with this probability; 0.5 is the median, robust to outliers.

    The model's outputs and predictions are then this quantile. The validation loss and the metrics compare it with the
    targets as they would a mean: with 0.9, outputs are meant to be too high for nine rows of ten, so that rmse, mae and
    r2 are worse than the plain run's; the correlations keep their meaning.
    """

    main = "tau"
    tau: float = Field(default=0.5, gt=0, lt=1)

    def build(self) -> Method:
        """The method."""
        return QuantileLoss(self)


class QuantileLoss(Method):
    """Replaces the task loss."""

    problems = ("regression",)
    replaces_loss = True

    def __init__(self, spec: Quantile):
        self.spec = spec

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The pinball loss, averaged over the outputs."""
        return quantile_loss(logits, labels, self.spec.tau)


def quantile_loss(outputs: Tensor, labels: Tensor, tau: float = 0.5) -> Tensor:
    """Mean over the outputs of `max(tau e, (tau - 1) e)`, where e is label minus output: `(B,)`.

    Outputs `(B, D)`, labels `(B, D)` or `(B,)`, tau in (0, 1).
    """
    error = labels.to(outputs.dtype).view_as(outputs) - outputs
    return torch.maximum(tau * error, (tau - 1) * error).flatten(1).mean(1)
