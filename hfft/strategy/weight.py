"""The weight of a loss term: a number, a schedule over the run, or one that follows the gap of validation and training loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from hfft.lazy import torch
from hfft.spec import Spec
from hfft.strategy.at import At

if TYPE_CHECKING:
    from torch import Tensor

STEEPNESS = 12.0  # of the sigmoid: from 0.0025 to 0.9975 before it is stretched to 0 and 1


class Ramp(Spec):
    """A weight that changes during the run.

    Attributes:
        start, end: its values in the first step and from the end of the ramp on.
        over: the fraction of all steps that the ramp takes.
        shape: of the ramp.
    """

    start: float = Field(default=0.0, ge=0)
    end: float = Field(ge=0)
    over: float = Field(default=1.0, gt=0, le=1)
    shape: Literal["linear", "cosine", "sigmoid"] = "linear"


class ByGap(Spec):
    """A weight that rises while the gap between validation and training loss grows, and falls while it shrinks.

    Attributes:
        adapt: what it follows.
        start: its value until the second evaluation; None for the method's default.
        factor: it is multiplied or divided by this at each evaluation.
        low, high: its limits; None for a tenth and ten times the start.
    """

    adapt: Literal["gap"]
    start: float | None = Field(default=None, gt=0)
    factor: float = Field(default=1.5, gt=1)
    low: float | None = Field(default=None, ge=0)
    high: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> ByGap:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self


def _kind(value: Any) -> str:
    """Which of the three a value is meant to be, so that an error is about that one alone."""
    if isinstance(value, ByGap) or (isinstance(value, Mapping) and "adapt" in value):
        return "gap"
    return "ramp" if isinstance(value, (Ramp, Mapping)) else "number"


WeightSpec = Annotated[
    Annotated[float, Field(ge=0), Tag("number")] | Annotated[Ramp, Tag("ramp")] | Annotated[ByGap, Tag("gap")],
    Discriminator(_kind),
]


def is_zero(spec: WeightSpec) -> bool:
    """Whether a weight is 0 in every step."""
    return spec == 0 or (isinstance(spec, Ramp) and spec.start == 0 == spec.end)


class Weight:
    """A method's weight during a run: `weight(at)` is its value.

    Args:
        spec: from the recipe.
        default: where `{adapt: gap}` starts if the recipe does not say.
    """

    def __init__(self, spec: WeightSpec, default: float = 1.0):
        self.spec = spec
        self.adapts = isinstance(spec, ByGap)
        self.constant = isinstance(spec, (int, float))
        self.current = default
        self.gap = math.nan  # at the last evaluation
        if isinstance(spec, ByGap):
            self.current = default if spec.start is None else spec.start
            self.low = self.current / 10 if spec.low is None else spec.low
            self.high = self.current * 10 if spec.high is None else spec.high

    def __call__(self, at: At) -> float:
        """The value in the step at `at`."""
        if isinstance(self.spec, Ramp):
            return ramp(self.spec, at.share)
        return self.current if isinstance(self.spec, ByGap) else self.spec

    def follow(self, gap: float) -> None:
        """Adapt to the gap, validation loss minus training loss, of an evaluation."""
        if isinstance(self.spec, ByGap):
            if gap > self.gap:
                self.current = min(self.current * self.spec.factor, self.high)
            elif gap < self.gap:
                self.current = max(self.current / self.spec.factor, self.low)
            self.gap = gap

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must save."""
        return {"weight": torch.tensor([self.current, self.gap], dtype=torch.float64)} if self.adapts else {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        self.current, self.gap = state["weight"].tolist()


def ramp(spec: Ramp, share: float) -> float:
    """The value of a ramp when this fraction of the steps is done."""
    done = min(share / spec.over, 1.0)
    if spec.shape == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    elif spec.shape == "sigmoid":
        least = _sigmoid(-STEEPNESS / 2)
        done = (_sigmoid(STEEPNESS * (done - 0.5)) - least) / (1 - 2 * least)
    return spec.start + (spec.end - spec.start) * done


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
