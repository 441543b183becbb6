"""Lower the learning rates when the gap between validation and training loss grows: the model begins to learn rows by heart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor


class LRByGap(MethodSpec):
    """A factor on the rates of `training.lr_scheduler_type`, lowered after each evaluation at which the gap has grown.

    Attributes:
        factor: by which the rates are multiplied when the gap grows; 1 changes nothing.
        threshold: by how much the gap must grow since the previous evaluation.
        low: the smallest factor that may come together in a run.
    """

    main = "factor"
    factor: float = Field(default=0.5, gt=0, le=1)
    threshold: float = Field(default=0.0, ge=0)
    low: float = Field(default=0.01, gt=0, le=1)

    def build(self) -> Method | None:
        """The method; None if factor is 1."""
        return FollowsGap(self) if self.factor < 1 else None


class FollowsGap(Method):
    """The gap is that of the validation loss and the mean training loss since the previous evaluation."""

    def __init__(self, spec: LRByGap):
        self.spec = spec
        self.current, self.gap = 1.0, math.nan

    def rate(self, at: At) -> float:
        """The factor in this step."""
        return self.current

    def evaluated(self, figures: Mapping[str, float], at: At) -> None:
        """Lower the factor if the gap has grown."""
        if "loss" in figures and "eval_loss" in figures:
            spec, gap = self.spec, figures["eval_loss"] - figures["loss"]
            self.current = lr_by_gap(self.current, gap, self.gap, spec.factor, spec.threshold, spec.low)
            self.gap = gap

    def state(self) -> dict[str, Tensor]:
        """The factor and the last gap."""
        return {"current": torch.tensor([self.current, self.gap], dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        self.current, self.gap = state["current"].tolist()


def lr_by_gap(
    current: float, gap: float, before: float, factor: float = 0.5, threshold: float = 0.0, low: float = 0.01
) -> float:
    """The factor on the learning rates after an evaluation.

    Args:
        current: the factor so far, 1 at the start.
        gap, before: validation loss minus training loss now and at the previous evaluation; NaN if there was none.
        factor, threshold, low: as in the recipe.
    """
    return max(current * factor, min(low, current)) if gap > before + threshold else current
