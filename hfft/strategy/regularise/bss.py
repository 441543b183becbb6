"""Penalise the smallest singular values of the features (BSS; Chen et al. 2019, batch spectral shrinkage)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, MethodSpec, Pass
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class BSS(MethodSpec):
    """Shrink the weakest components of the features. Useful with few rows; the batch should have 16 rows or more.

    Attributes:
        weight: factor of the penalty.
        smallest: number of singular values that are penalised; the paper uses 1.
    """

    main = "weight"
    weight: WeightSpec = 1e-3
    smallest: int = Field(default=1, ge=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else SpectralShrinkage(self)


class SpectralShrinkage(Method):
    """Adds the squares of the smallest singular values of the global batch's features."""

    needs = frozenset({"features"})
    problems = ("single_label_classification", "multi_label_classification", "regression")

    def __init__(self, spec: BSS):
        self.spec, self.weight = spec, Weight(spec.weight, default=1e-3)

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted sum of squares."""
        return {"bss": self.weight(seen.at) * bss(seen.features[TASK], self.spec.smallest)}


def bss(features: Tensor, smallest: int = 1) -> Tensor:
    """Sum of the squares of the `smallest` lowest singular values of features `(N, D)`."""
    return torch.linalg.svdvals(features)[-smallest:].square().sum()
