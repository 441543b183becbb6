"""Penalise the largest singular values of the features (BSP; Chen et al. 2019, ICML), beside an adversarial method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, Pass
from hfft.strategy.shift.target import SCORED, TargetRows, TargetSpec
from hfft.strategy.weight import WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class BSP(TargetSpec):
    """Keep a few directions from carrying all that transfers: use it with `dann` or `cdan`, which make them dominate.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the penalty.
        largest: number of singular values of each set that are penalised; the paper uses 1.
    """

    weight: WeightSpec = 2e-4
    largest: int = Field(default=1, ge=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else SpectralPenalty(self)


class SpectralPenalty(TargetRows):
    """Adds the squares of the largest singular values of both sets' features, each over all rows of the step."""

    needs = frozenset({"features"})
    problems = SCORED
    spec: BSP

    def __init__(self, spec: BSP):
        super().__init__(spec, default=2e-4)

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted sum of squares."""
        features, most = seen.features, self.spec.largest
        return {"bsp": self.weight(seen.at) * (bsp(features[TASK], most) + bsp(self.target(features), most))}


def bsp(features: Tensor, largest: int = 1) -> Tensor:
    """Sum of the squares of the `largest` highest singular values of features `(N, D)`."""
    return torch.linalg.svdvals(features)[:largest].square().sum()
