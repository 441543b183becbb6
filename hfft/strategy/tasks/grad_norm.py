"""Weigh tasks so that their gradients have like norms and they learn at like speeds (Chen et al. 2018, arXiv:1711.02257)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, At, Inner, Method, MethodSpec, Pass, Setting
from hfft.strategy.tasks.by_task import OneByOne
from hfft.strategy.tensors import from_all_processes, whole

if TYPE_CHECKING:
    from torch import Tensor, nn


class GradNorm(MethodSpec):
    """Factors of the tasks' losses, which move from step to step; they add up to the number of tasks.

    A step costs a pass more for each task.

    Attributes:
        alpha: how much a task that has learned less than others is favoured: 0 for equal norms; the paper uses 0.12 to 1.5.
        rate: how fast the factors move; the paper uses 0.025.
    """

    main = "alpha"
    alpha: float = Field(default=1.5, ge=0)
    rate: float = Field(default=0.025, ge=0)

    def build(self) -> Method | None:
        """The method; None if the factors never move."""
        return Norms(self) if self.rate else None


class Norms(OneByOne):
    """Multiplies each row's loss by the factor of its task, and moves the factors by the norms of the tasks' gradients.

    The norms are of all layers in front of the head that learn; the paper takes the last one, which here may be frozen.
    """

    only_one = "weighs the tasks"

    def __init__(self, spec: GradNorm):
        self.spec = spec
        self.step = -1
        self.seen: list[Tensor] = []  # sum of losses and number of rows of each task, of the step's micro-batches

    def start(self, setting: Setting) -> None:
        """Begin with factors of 1."""
        super().start(setting)
        precise = torch.float32 if setting.device.type == "mps" else torch.float64
        self.factors = torch.ones(self.count, device=setting.device, dtype=precise)
        self.first = torch.zeros_like(self.factors)  # the loss in the first step; 0 before
        self.head = setting.head_names

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of each row times the factor of its task; alone, as it is."""
        loss = super().example_loss(inner, logits, labels, at)
        return loss if self.alone is not None else loss * self.row_weights(labels).to(loss.dtype)

    def row_weights(self, labels: Tensor) -> Tensor:
        """The factor of each row's task."""
        return self.factors.to(labels.device)[self.problem.tasks_of(labels)]

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """Add up the losses of each task; nothing is added to the loss. A recomputed step counts once."""
        key = f"{self.name} counted"
        if key not in seen.notes:
            seen.notes[key] = True
            if seen.at.step != self.step:
                self.step, self.seen = seen.at.step, []
            tasks = self.problem.tasks_of(seen.labels)
            loss = self.problem.loss(seen.logits[TASK], seen.labels).detach()
            sums = self.factors.new_zeros(2, self.count)
            sums[0].index_add_(0, tasks, loss.to(sums))
            sums[1].index_add_(0, tasks, torch.ones_like(loss).to(sums))
            self.seen.append(sums)
        return {}

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Measure the gradient of each task, and choose the factors of the next step."""
        named = [(name, p) for name, p in model.named_parameters() if p.grad is not None]
        learning = [p for _, p in named]
        places = [i for i, (name, _) in enumerate(named) if name not in self.head]
        none = self.factors.new_zeros(2, self.count)  # of a process without rows
        sums, counts = from_all_processes(torch.stack([none, *self.seen])).sum(0)
        parts = self.parts(learning, again)
        norms = torch.stack(
            [torch.stack([whole(part[i].square().sum()) for i in places]).sum().sqrt() for part in parts]
        )
        norms = norms * counts.sum() / counts.clamp(min=1)  # of the task's mean loss, not of its share in the step's
        means = sums / counts.clamp(min=1)
        self.first = torch.where(self.first > 0, self.first, means)
        self.next = moved(
            self.factors, norms.to(self.factors), means, self.first, counts > 0, self.spec.alpha, self.spec.rate
        )

    def updated(self, model: nn.Module, at: At) -> None:
        """Use the new factors from the next step on."""
        self.factors, self.seen = self.next, []

    def state(self) -> dict[str, Tensor]:
        """The factors, and the losses of the first step."""
        return {"factors": self.factors, "first": self.first}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them."""
        self.factors, self.first = state["factors"].to(self.factors), state["first"].to(self.first)


def moved(
    factors: Tensor, norms: Tensor, losses: Tensor, first: Tensor, there: Tensor, alpha: float, rate: float
) -> Tensor:
    """The factors after a step, `(T,)`: down the gradient of `sum |w_t n_t - mean(w n) r_t^alpha|`, then adding up to T.

    Args:
        norms: norm of the gradient of each task's mean loss.
        losses, first: each task's mean loss in this step and in the first, whose ratio over the tasks' mean ratio is r.
        there: whether a task has rows in the step; the factors of others stay.
    """
    ratio = losses / first.clamp(min=1e-12)
    weighted, count = factors * norms, there.sum().clamp(min=1)
    mean_ratio = (ratio * there).sum() / count
    target = (weighted * there).sum() / count * (ratio / mean_ratio.clamp(min=1e-12)) ** alpha
    slope = torch.sign(weighted - target) * norms * there
    found = (factors - rate * slope).clamp(min=1e-3)
    return found * len(found) / found.sum()
