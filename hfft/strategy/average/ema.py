"""Score and publish an exponential moving average of the weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.average.means import in_place, learning, weights_of
from hfft.strategy.method import At, Method, MethodSpec, Setting
from hfft.strategy.tensors import like

if TYPE_CHECKING:
    from torch import Tensor, nn


class EMA(MethodSpec):
    """Share of the old average kept at each step; smaller in the first steps: `min(decay, (1 + t) / (10 + t))`."""

    main = "decay"
    decay: float = Field(default=0.999, ge=0, lt=1)

    def build(self) -> Method | None:
        """The method; None if decay is 0, where the average would equal the last weights."""
        return Averaged(self) if self.decay else None


class Averaged(Method):
    """Updates the average after each step; statistics of norms are not averaged but taken from the model."""

    def __init__(self, spec: EMA):
        self.spec = spec
        self.mean: dict[str, Tensor] = {}

    def start(self, setting: Setting) -> None:
        """Start from the pretrained weights."""
        self.mean = {name: p.detach().clone() for name, p in weights_of(setting.model, learning(setting.model)).items()}

    def updated(self, model: nn.Module, at: At) -> None:
        """Move the average towards the new weights."""
        keep = min(self.spec.decay, (1 + at.step) / (10 + at.step))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self.mean:
                    self.mean[name] = like(self.mean[name], parameter).lerp_(parameter.detach(), 1 - keep)

    @contextlib.contextmanager
    def scored(self, model: nn.Module) -> Iterator[None]:
        """Use the average in place of the weights, which are restored bit for bit."""
        with in_place(model, self.mean):
            yield

    def state(self) -> dict[str, Tensor]:
        """The average."""
        return dict(self.mean)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the average."""
        self.mean = {name: state[name].to(mean.device, mean.dtype) for name, mean in self.mean.items()}
