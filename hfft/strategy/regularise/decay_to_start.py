"""Decay towards the pretrained weights, decoupled from the gradient (as in RecAdam; Chen et al. 2020, arXiv:2004.12651)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import At, Method, MethodSpec, Setting
from hfft.strategy.tensors import like
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn


class DecayToStart(MethodSpec):
    """Weight decay towards the pretrained weights in place of zero: L2-SP for adaptive optimisers.

    Attributes:
        weight: strength of the pull; Adam's weights stay within about 1 / weight of their start. RecAdam's is
            `{start: 5000, end: 0, shape: sigmoid}`.
    """

    main = "weight"
    weight: WeightSpec = 10.0

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Decayed(self)


class Decayed(Method):
    """Moves the weights after each step of the optimiser, each at its own rate; nothing is added to the loss.

    A step of Adam moves a weight by about the learning rate, and the pull by the rate times the weight times the way back.
    RecAdam also multiplies the gradient of the task by a factor that rises while its pull falls, which is not done here.

    Biases and the weights of norms move as well: AdamW exempts them because 0 is no sensible value for them, but their
    pretrained values are.
    """

    needs = frozenset({"start", "rates"})

    def __init__(self, spec: DecayToStart):
        self.spec, self.weight = spec, Weight(spec.weight, default=10.0)

    def start(self, setting: Setting) -> None:
        """Copy the pretrained values of the learning parameters, without the head's."""
        self.inspector = setting.inspector
        self.before = {name: p.detach().clone() for name, p in setting.own_parameters().items()}

    def updated(self, model: nn.Module, at: At) -> None:
        """Move the weights."""
        decay_to_start(model, self.before, self.inspector.rates(), self.weight(at))


def decay_to_start(model: nn.Module, start: Mapping[str, Tensor], rates: Mapping[str, float], weight: float) -> None:
    """Move weights towards their start, in place: `w + lr * weight * (start - w)`, at most as far as the start.

    Args:
        start: parameter name -> its pretrained value.
        rates: parameter name -> its current learning rate; parameters that are not listed do not move.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in start and name in rates:
                parameter.lerp_(like(start[name], parameter), min(rates[name] * weight, 1.0))
