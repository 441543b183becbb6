"""A model type on its walk: its tiny instance, and what the package finds out about it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfft import head, layers, strategy
from tests.architectures.tiny import Tiny, tiny

WITHOUT = "does not apply: "  # heads a reason that is no miss: the package tells it and goes on without
REFUSED = "refused: "  # heads the line with which the package refuses a type before data is prepared


@dataclass(frozen=True)
class Case:
    """A model type, its tiny instance, and what the package finds out about it."""

    modality: str
    name: str

    @cached_property
    def tiny(self) -> Tiny:
        """The instance; checks work on copies of its model."""
        return tiny(self.modality, self.name)

    @cached_property
    def head_names(self) -> set[str]:
        """What the package takes for the head."""
        return head.parameter_names(self.tiny.model)

    @cached_property
    def depths(self) -> layers.Depths:
        """What the package takes for the depths."""
        return layers.depths(self.tiny.model, self.head_names)

    @cached_property
    def reached(self) -> set[str]:
        """Names of the parameters that get a gradient when everything learns: some architectures leave parts unused."""
        model = self.fresh()
        layers.hold([model])
        loss(model, self.tiny.inputs, self.tiny.labels).sum().backward()
        return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}

    def fresh(self) -> PreTrainedModel:
        """A copy of the model to work on."""
        return copy.deepcopy(self.tiny.model)


def seed() -> None:
    """Some architectures draw in `forward`, by one generator or another."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The model's outputs for one of the classes each."""
    seed()
    return strategy.logits_of(model(**inputs))


def loss(model: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """The package's loss, example by example."""
    return strategy.per_example(logits(model, inputs), labels, "single_label_classification")[0]


def some(names: Iterable[str], most: int = 3) -> str:
    """The first few of many names."""
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of the tensors that are not the same to the bit."""
    return {name for name in before if not torch.equal(before[name].nan_to_num(), after[name].nan_to_num())}
