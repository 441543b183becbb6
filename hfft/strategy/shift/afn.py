"""Enlarge the norms of features step by step, on both sets (AFN, its stepwise form; Xu et al. 2019, arXiv:1811.07456)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, Pass
from hfft.strategy.shift.target import SCORED, TargetRows, TargetSpec
from hfft.strategy.weight import WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class AFN(TargetSpec):
    """Enlarge the norms of the head's inputs: those of a set that is harder to transfer to are smaller.

    Where a LayerNorm precedes the head, as in most transformers, it holds the norms: use `head.kind: mlp`.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the term, which is logged as a constant: in each step, the norms are to be larger by `delta`.
        delta: by how much each norm should grow in a step; the paper uses 1.
    """

    weight: WeightSpec = 0.05
    delta: float = Field(default=1.0, gt=0)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else FeatureNorms(self)


class FeatureNorms(TargetRows):
    """Adds the squared distance of each row's norm from the present one plus `delta`."""

    needs = frozenset({"features"})
    problems = SCORED
    spec: AFN

    def __init__(self, spec: AFN):
        super().__init__(spec, default=0.05)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted sum over both sets."""
        delta = self.spec.delta
        task, other = afn(seen.features[TASK], delta), afn(self.target(seen.features), delta)
        return {"afn": self.weight(seen.at) * (task + self.row_means(other))}


def afn(features: Tensor, delta: float = 1.0) -> Tensor:
    """`(|f| - (|f| + delta))²` of features `(B, D)`, the second norm without a gradient: `(B,)`."""
    norms = torch.linalg.vector_norm(features, dim=1)
    return (norms - (norms.detach() + delta)).square()
