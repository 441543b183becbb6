"""CORAL between training domains: the same mean and covariance of features (Sun and Saenko 2016, arXiv:1607.01719).

Between the domains of the training rows as in DomainBed (Gulrajani and Lopez-Paz 2021, arXiv:2007.01434), which aligns means too.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, MethodSpec, Pass
from hfft.strategy.shift.domains import ByDomain
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class DomainCORAL(MethodSpec):
    """Make features alike in all domains of `data.columns.domain`; `balanced: {by: domain}` gives each step rows of all of them.

    Attributes:
        weight: factor of the mean distance of two domains; DomainBed uses 1.
    """

    main = "weight"
    weight: WeightSpec = 1.0

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else AlignedDomains(self)


class AlignedDomains(ByDomain):
    """Compares the features of each two domains in a step. One with a single row has no covariance, and only its mean counts."""

    needs = ByDomain.needs | {"features"}

    def __init__(self, spec: DomainCORAL):
        self.spec, self.weight = spec, Weight(spec.weight)

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted mean distance."""
        features = seen.features[TASK]
        return {self.name: self.weight(seen.at) * mean_distance([features[rows] for rows in self.groups(seen)])}


def mean_distance(groups: list[Tensor]) -> Tensor:
    """Mean of `moment_distance` over all pairs of groups of features `(n, D)`; 0 of a single group."""
    pairs = [moment_distance(x, y) for x, y in combinations(groups, 2)]
    return torch.stack(pairs).mean() if pairs else groups[0].sum() * 0


def moment_distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference of the means, plus that of the covariances, of features `(n, D)` and `(m, D)`: scalar."""
    distance = (x.mean(0) - y.mean(0)).square().mean()
    if min(len(x), len(y)) > 1:
        distance = distance + (_covariance(x) - _covariance(y)).square().mean()
    return distance


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)
