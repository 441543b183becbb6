"""Swap random weights for their pretrained values in each step (mixout; Lee et al. 2020, arXiv:1909.11299)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import Batch, Method, MethodSpec, Setting
from hfft.strategy.random_numbers import generator
from hfft.strategy.tensors import like

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHT = "weight"


class Mixout(MethodSpec):
    """Share of the weights of linear layers that have their pretrained values in a step.

    The paper uses 0.7 to 0.9 with thousands of steps of a large model; in a run of some dozens of steps, 0.7 costs points.
    It takes the place of dropout: the paper sets the dropout of the mixed layers to 0 (backbone.config). Stabilises large
    models on few rows. A new head is not mixed, since it has no pretrained weights.
    """

    main = "p"
    p: float = Field(default=0.1, ge=0, lt=1)

    def build(self) -> Method | None:
        """The method; None if p is 0."""
        return Mixed(self) if self.p else None


class Mixed(Method):
    """Linear layers compute with mixed weights during forward and backward passes of training, never in evaluation.

    The choice depends on (seed, step) alone: the same for every micro-batch, process and recomputed activation.
    """

    needs = frozenset({"start", "whole_weights"})

    def __init__(self, spec: Mixout):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Copy the pretrained weights.

        Raises:
            BadInput: no linear layer that learns has any.
        """
        own = setting.own_parameters()
        linear = {name for name, module in setting.model.named_modules() if is_linear(module)}
        self.before = {
            name: p.detach().clone()
            for name, p in own.items()
            if name.rpartition(".")[0] in linear and _is_weight(name)
        }
        if not self.before:
            raise BadInput(
                "strategy.mixout: no pretrained linear layer learns, so there is nothing to mix; unfreeze some with "
                "layers.train, or leave it out"
            )

    @contextlib.contextmanager
    def around(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Mix the weights of each linear layer whenever it is called."""
        handles: list[Any] = []
        try:
            for i, (name, start) in enumerate(self.before.items()):
                module = model.get_submodule(name.rpartition(".")[0])
                if module.get_parameter(WEIGHT).requires_grad:
                    handles += _mixing(module, start, self.spec.p, (batch.at.seed, batch.at.step, i))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _mixing(module: nn.Module, start: Tensor, p: float, key: tuple[int, ...]) -> list[Any]:
    """Hooks by which a module sees mixed weights while it runs; its parameter stays where it is."""

    def mix(*_: Any) -> None:
        weight = module.get_parameter(WEIGHT)
        swapped = torch.rand(weight.shape, generator=generator(weight.device, *key), device=weight.device) < p
        # an attribute of the instance hides the parameter, which optimiser and checkpoints find as before
        vars(module)[WEIGHT] = mixout(weight, like(start, weight), swapped, p)

    def restore(*_: Any) -> None:
        vars(module).pop(WEIGHT, None)

    return [module.register_forward_pre_hook(mix), module.register_forward_hook(restore, always_call=True)]


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer, GPT-2's kind included."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, (torch.nn.Linear, Conv1D))


def _is_weight(name: str) -> bool:
    return name.rpartition(".")[2] == WEIGHT


def mixout(weight: Tensor, start: Tensor, swapped: Tensor, p: float) -> Tensor:
    """Weights of which some are swapped for their pretrained values, scaled so that their mean over choices is `weight`.

    `((1 - m) * weight + m * start - p * start) / (1 - p)`, where m is 1 with probability p.

    Args:
        weight, start: of one shape.
        swapped: bool, of the same shape; where m is 1.
        p: in [0, 1).
    """
    return (torch.where(swapped, start, weight) - p * start) / (1 - p)
