"""Pull the weights towards their starting point (L2-SP; Li et al. 2018, arXiv:1802.01483)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hfft.lazy import F, torch
from hfft.strategy.method import At, Method, MethodSpec, Setting
from hfft.strategy.tensors import like
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn


class L2SP(MethodSpec):
    """Pull the weights towards their pretrained values.

    Attributes:
        weight: strength of the pull; the paper's code uses 0.01.
        whole: pull the head and an adapter as well, to where the run begins: FedProx's term (arXiv:1812.06127).
    """

    main = "weight"
    weight: WeightSpec
    whole: bool = False

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else PullToStart(self)


class PullToStart(Method):
    """Adds half the squared distance from the pretrained weights, without the head unless `whole` says so."""

    needs = frozenset({"start"})

    def __init__(self, spec: L2SP):
        self.spec, self.weight = spec, Weight(spec.weight, default=0.01)
        if spec.whole:  # an adapter has a start as well: zero, or the one that it continues
            self.needs = frozenset()

    def start(self, setting: Setting) -> None:
        """Copy the values of the learning parameters before the run."""
        chosen = dict(setting.model.named_parameters()) if self.spec.whole else setting.own_parameters()
        self.before = {name: p.detach().clone() for name, p in chosen.items() if p.requires_grad}

    def weights(self, model: nn.Module, at: At) -> dict[str, Tensor]:
        """The weighted distance."""
        return {"l2_sp": self.weight(at) * l2_sp(model, self.before)}


def l2_sp(model: nn.Module, start: Mapping[str, Tensor]) -> Tensor:
    """Half the squared distance of the learning parameters from their starting point: `1/2 * sum (w - w0)^2`.

    Args:
        start: parameter name -> its pretrained value; parameters that are not listed, such as a new head's, are not penalised.
    """
    distance = torch.zeros((), device=next(model.parameters()).device)
    for name, parameter in model.named_parameters():
        name = name.removeprefix("module.")  # added by DistributedDataParallel
        if name in start and parameter.requires_grad:
            # one kernel for the square and its sum, and one for the gradient: half the time of three operations
            distance = distance + F.mse_loss(parameter, like(start[name], parameter), reduction="sum")
    return distance / 2
