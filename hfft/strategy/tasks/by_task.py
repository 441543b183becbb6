"""What methods for several tasks share: the task of each row, and the gradient of one task alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import TASK, At, Inner, Method, Setting
from hfft.tasks.problem import SeveralTasks

if TYPE_CHECKING:
    from torch import Tensor, nn


class ByTask(Method):
    """A method that knows which task a row belongs to, by its label."""

    problems = ("several_tasks",)

    def start(self, setting: Setting) -> None:
        """Remember the tasks."""
        assert isinstance(setting.problem, SeveralTasks)
        self.problem, self.count = setting.problem, len(setting.problem.parts)


class OneByOne(ByTask):
    """A method that computes the gradient of each task by itself: its rows of the step, every other loss left out."""

    alone: int | None = None  # the task whose gradient is being computed

    def start(self, setting: Setting) -> None:
        """Remember the tasks, each of which costs a pass."""
        super().start(setting)
        self.passes = 1 + self.count

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of each row; zero for those of other tasks while a task is alone."""
        loss = inner(logits, labels)
        return loss if self.alone is None else loss * (self.problem.tasks_of(labels) == self.alone)

    def parts(self, learning: list[nn.Parameter], again: Callable[..., None]) -> list[list[Tensor]]:
        """The gradient of each task, one tensor for each parameter; the step's own gradient is as before afterwards."""
        before = [None if p.grad is None else p.grad.clone() for p in learning]
        found = []
        for task in range(self.count):
            self.alone = task
            again(only=TASK)
            found.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in learning])
        self.alone = None
        for parameter, gradient in zip(learning, before, strict=True):
            parameter.grad = gradient
        return found
