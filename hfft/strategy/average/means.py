"""Means of a model's weights: add weights to them, and put them in the weights' place."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.tensors import like

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Mean:
    """The mean of `count` sets of weights, at least in float32.

    Attributes:
        weights: parameter name -> mean; empty as long as there is none.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0

    def add(self, other: Mapping[str, Tensor], count: int = 1) -> None:
        """Add weights that are themselves the mean of `count` sets, which are left as they are."""
        self.count += count
        with torch.no_grad():
            for name, tensor in other.items() if count else ():
                tensor = tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
                if name in self.weights:
                    self.weights[name] = like(self.weights[name], tensor).lerp_(tensor, count / self.count)
                else:
                    self.weights[name] = tensor.clone()

    def join(self, other: Mean) -> None:
        """Add another mean."""
        self.add(other.weights, other.count)

    def state(self, prefix: str) -> dict[str, Tensor]:
        """The mean as tensors, with these names in front."""
        return {f"{prefix}/count": torch.tensor(self.count), **{f"{prefix}/{n}": t for n, t in self.weights.items()}}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], prefix: str) -> Mean:
        """What `state` returned under this prefix."""
        own = {key.removeprefix(f"{prefix}/"): t for key, t in state.items() if key.startswith(f"{prefix}/")}
        count = int(own.pop("count"))
        return cls({name: tensor.clone() for name, tensor in own.items()}, count)


def learning(model: nn.Module) -> set[str]:
    """The names of the parameters that learn."""
    return {name for name, p in model.named_parameters() if p.requires_grad}


def weights_of(model: nn.Module, names: Collection[str]) -> dict[str, Tensor]:
    """The parameters of these names."""
    return {name: p for name, p in model.named_parameters() if name in names}


@contextlib.contextmanager
def in_place(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Use these weights in place of the model's own, which are restored bit for bit.

    Args:
        weights: parameter name -> tensor; other parameters stay as they are.
    """
    held = weights_of(model, weights)
    before = {name: p.detach().clone() for name, p in held.items()}
    with torch.no_grad():
        for name, parameter in held.items():
            parameter.copy_(like(weights[name], parameter))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in held.items():
                parameter.copy_(before[name])
