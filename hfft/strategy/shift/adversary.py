"""What adversarial adaptation needs: a reversed gradient, its warm-up, and networks that learn beside the model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Setting
from hfft.strategy.shift.target import SCORED, TargetRows, TargetSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


class AdversarySpec(TargetSpec):
    """The options of methods with a network that opposes the backbone.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the adversarial loss.
        alpha: how fast the reversed gradient grows over the run: its factor is `2 / (1 + exp(-alpha p)) - 1` at the fraction p.
        hidden: width of the hidden layers of the network, which learns at the head's rate and is not published.
    """

    alpha: float = Field(default=10.0, gt=0)
    hidden: int = Field(default=1024, ge=1)


class Adversary(TargetRows):
    """The base of methods with such a network, on the inputs of the head's last layer.

    It has neither BatchNorms nor dropout, so that a step is the same for every split of its batch.
    """

    needs = frozenset({"features"})
    problems: tuple[str, ...] | None = SCORED
    spec: AdversarySpec

    def start(self, setting: Setting) -> None:
        """Build the network."""
        super().start(setting)
        self.inside = torch.nn.ModuleDict({"network": network(self.widths(setting), setting)})

    def widths(self, setting: Setting) -> Sequence[int]:
        """The widths of the network, from its input to its output."""
        return feature_width(setting), self.spec.hidden, self.spec.hidden, 1

    def modules(self) -> nn.ModuleDict:
        """The network."""
        return self.inside

    def reversed(self, features: Tensor, at: At, most: float = 1.0) -> Tensor:
        """Features as the network reads them: what it learns, they unlearn."""
        return reverse_gradient(features, most * warm_up(at.share, self.spec.alpha))


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """The same values, whose gradient is `-factor` times that of what they came from (Ganin and Lempitsky 2015)."""
    return x.detach() + factor * (x.detach() - x)


def warm_up(share: float, alpha: float = 10.0) -> float:
    """The factor of the reversed gradient at a fraction of the run, in [0, 1): `2 / (1 + exp(-alpha p)) - 1`."""
    return 2 / (1 + math.exp(-alpha * share)) - 1


def feature_width(setting: Setting) -> int:
    """D, the number of inputs of the head's last layer."""
    weight = next(p for p in setting.inspector.last_layer(setting.model).parameters(recurse=False) if p.ndim > 1)
    return int(weight.shape[1])


def network(widths: Sequence[int], setting: Setting) -> nn.Sequential:
    """Linear layers with ReLUs between them, from random numbers of their own, at least in float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        layers: list[nn.Module] = []
        for left, right in itertools.pairwise(widths):
            layers += [torch.nn.Linear(left, right), torch.nn.ReLU()]
    dtype = torch.promote_types(next(setting.model.parameters()).dtype, torch.float32)
    return torch.nn.Sequential(*layers[:-1]).to(setting.device, dtype)
