"""Pull the weights towards where they started (L2-SP; Li et al. 2018, arXiv:1802.01483)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Method, MethodSpec, Setting
from hfft.strategy.tensors import like

if TYPE_CHECKING:
    from torch import Tensor, nn


class L2SP(MethodSpec):
    """Pull towards the pretrained weights. The paper's code takes 0.01."""

    main = "weight"
    weight: float = Field(ge=0)

    def build(self) -> Method | None:
        """None at weight 0."""
        return PullToStart(self) if self.weight else None


class PullToStart(Method):
    """Adds half the squared distance from the start, the head left free."""

    needs = frozenset({"start"})

    def __init__(self, spec: L2SP):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Keep a copy of what learns."""
        self.before = {name: p.detach().clone() for name, p in setting.own_parameters().items()}

    def weights(self, model: nn.Module, at: At) -> dict[str, Tensor]:
        """The weighted distance."""
        return {"l2_sp": self.spec.weight * l2_sp(model, self.before)}


def l2_sp(model: nn.Module, start: Mapping[str, Tensor]) -> Tensor:
    """Half the squared distance of the parameters that learn from where they started: `1/2 * sum (w - w0)^2`.

    Args:
        start: parameter name -> its pretrained value; parameters not named, such as a new head's, are free.
    """
    distance = torch.zeros((), device=next(model.parameters()).device)
    for name, parameter in model.named_parameters():
        name = name.removeprefix("module.")  # DistributedDataParallel's
        if name in start and parameter.requires_grad:
            distance = distance + (parameter - like(start[name], parameter)).square().sum()
    return distance / 2
