"""V-REx: make the losses of all domains equal (Krueger et al. 2021, arXiv:2003.00688)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import Method, MethodSpec, Pass
from hfft.strategy.shift.domains import ByDomain
from hfft.strategy.weight import Ramp, Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class VREx(MethodSpec):
    """Add the variance of the domains' mean losses to the loss; `balanced: {by: domain}` gives each step rows of all of them.

    Attributes:
        weight: the paper's beta, factor of the variance; DomainBed uses 10 after 500 steps at 1, here it rises over a tenth of
            the run.
    """

    main = "weight"
    weight: WeightSpec = Ramp(start=1.0, end=10.0, over=0.1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else EqualRisks(self)


class EqualRisks(ByDomain):
    """The task's own loss is added as it is: the mean over rows, which in balanced steps is that over domains."""

    def __init__(self, spec: VREx):
        self.spec, self.weight = spec, Weight(spec.weight, default=10.0)

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted variance."""
        loss = self.row_losses(seen)
        risks = torch.stack([loss[rows].mean() for rows in self.groups(seen)])
        return {self.name: self.weight(seen.at) * vrex(risks)}


def vrex(risks: Tensor) -> Tensor:
    """Variance of the mean losses `(G,)` of G domains: the mean squared distance from their mean, 0 of a single one."""
    return (risks - risks.mean()).square().mean()
