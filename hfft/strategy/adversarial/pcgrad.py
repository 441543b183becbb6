"""Take the conflict out of the gradients of several losses (PCGrad; Yu et al. 2020, arXiv:2001.06782)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from hfft.lazy import torch
from hfft.strategy.method import TASK, At, Method, MethodSpec
from hfft.strategy.tasks.by_task import OneByOne
from hfft.strategy.tensors import whole

if TYPE_CHECKING:
    from torch import Tensor, nn

SALT = 7


class PCGrad(MethodSpec):
    """Where the gradients of two losses point against each other, each loses its part along the other.

    A step costs a pass more for the task loss, and one for each term; between tasks, one for each task.

    Attributes:
        terms: names of the methods whose losses are compared with the task loss and with each other.
        tasks: compare the losses of several tasks instead (`tasks` of the recipe).
    """

    main = "terms"
    terms: list[str] = Field(default=[])
    tasks: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> PCGrad:
        if self.tasks and self.terms:
            raise ValueError("has terms and tasks; compare one of them")
        return self

    def build(self) -> Method | None:
        """The method; None with nothing to compare."""
        return TaskSurgery() if self.tasks else Surgery(self) if self.terms else None


class Surgery(Method):
    """Computes the gradient of each loss by itself; losses that are not named are added as they are."""

    def __init__(self, spec: PCGrad):
        self.spec = spec
        self.terms = tuple(dict.fromkeys(spec.terms))
        self.passes = 2 + len(self.terms)

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Change the gradient by what surgery changes of its parts: without a conflict it stays as it is, to the bit."""
        learning = [p for p in model.parameters() if p.grad is not None]
        before = [p.grad.clone() for p in learning if p.grad is not None]
        parts = []
        for name in (TASK, *self.terms):
            again(only=name)
            parts.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in learning])
        changes = surgery(parts, np.random.default_rng((at.seed, at.step, SALT)))
        for i, parameter in enumerate(learning):
            parameter.grad = before[i] if changes is None else before[i] + changes[i]


class TaskSurgery(OneByOne):
    """Computes the gradient of each task by itself; what other methods add stays as it is."""

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Change the gradient by what surgery changes of the tasks' own."""
        learning = [p for p in model.parameters() if p.grad is not None]
        changes = surgery(self.parts(learning, again), np.random.default_rng((at.seed, at.step, SALT)))
        for parameter, change in zip(learning, changes or [], strict=False):
            assert parameter.grad is not None
            parameter.grad = parameter.grad + change


def pcgrad(parts: Sequence[Sequence[Tensor]], rng: np.random.Generator) -> list[Tensor]:
    """The sum over losses of `g_i^PC`: g_i without its parts along gradients that it points against.

    For each other j in random order, if `p = g_i^PC . g_j` is negative: `g_i^PC <- g_i^PC - p / ||g_j||^2 g_j`.

    Args:
        parts: the gradient of each loss, as tensors of the same shapes.
        rng: gives the orders, the same in every process.
    """
    total = [torch.stack(list(each)).sum(0) for each in zip(*parts, strict=True)]
    changes = surgery(parts, rng)
    return total if changes is None else [t + c for t, c in zip(total, changes, strict=True)]


def surgery(parts: Sequence[Sequence[Tensor]], rng: np.random.Generator) -> list[Tensor] | None:
    """What `pcgrad` changes of the plain sum, `sum_i (g_i^PC - g_i)`; None if no two gradients point against each other."""
    found: list[Tensor] | None = None
    for i, own in enumerate(parts):
        moved, changed = list(own), False
        for j in rng.permutation(len(parts)):
            product = 0.0 if i == j else float(dot(moved, parts[j]))
            if product < 0:
                share = product / float(dot(parts[j], parts[j]))
                moved, changed = [m - share * g for m, g in zip(moved, parts[j], strict=True)], True
        if changed:
            change = [m - g for m, g in zip(moved, own, strict=True)]
            found = change if found is None else [a + b for a, b in zip(found, change, strict=True)]
    return found


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The inner product of two gradients, as a scalar."""
    return torch.stack([whole((a * b).sum()) for a, b in zip(left, right, strict=True)]).sum()
