"""Several tasks on one backbone: each row belongs to one of them, and each task has its own part of the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.tasks.labels import Labels
from hfft.tasks.problem.base import Problem, precise

if TYPE_CHECKING:
    from torch import Tensor


class SeveralTasks(Problem):
    """Logits `(B, C)`, the outputs of all tasks side by side; labels `(B, 1 + W)`: the number of the row's task, then its label.

    A label shorter than the longest, W, is filled up with zeros. The loss of a row is that of its own task.

    Args:
        labels: the meaning of the outputs of all tasks; None for the problem as such.
        problems: the problem of each task.
    """

    name = "several_tasks"
    fewest_outputs = 2
    unit = "mean over the rows of all tasks"
    metrics = {}
    default_metrics = ()

    def __init__(self, labels: Labels | None = None, problems: Sequence[Problem] = ()):
        self.parts = labels.tasks if labels is not None else ()
        self.spans = [*labels.spans.values()] if labels is not None else []
        self.problems = tuple(problems)

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks."""
        return tuple(name for name, _ in self.parts)

    def tasks_of(self, labels: Tensor) -> Tensor:
        """The number of each row's task, `(B,)` int64."""
        return labels[:, 0].long()

    def own_labels(self, task: int, labels: Tensor) -> Tensor:
        """The labels as a task's own problem takes them; zeros for rows of the others."""
        width = width_of(self.parts[task][1], self.problems[task])
        mine = (labels[:, 0] == task)[:, None]
        found = torch.where(mine, labels[:, 1 : 1 + width], torch.zeros_like(labels[:, 1 : 1 + width]))
        return found[:, 0].long() if self.problems[task].classes else found

    def each(self, logits: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(rows of the task `(B,)` bool, its logits `(B, C_t)`, its labels) of each task; labels of other rows are zeros."""
        tasks = self.tasks_of(labels)
        for task, span in enumerate(self.spans):
            yield tasks == task, logits[:, span], self.own_labels(task, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of each row in its own task, `(B,)`."""
        found = precise(logits).new_zeros(len(labels))
        for (mine, own, given), problem in zip(self.each(logits, labels), self.problems, strict=True):
            found = torch.where(mine, problem.loss(own, given), found)
        return found

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """The mean over the tasks of their divergences, for all rows, as every row has outputs of every task."""
        pairs = zip(self.spans, self.problems, strict=True)
        return torch.stack([problem.divergence(p[:, span], q[:, span]) for span, problem in pairs]).mean(0)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Those of each task, side by side."""
        pairs = zip(self.spans, self.problems, strict=True)
        return torch.cat([problem.probabilities(logits[:, span]) for span, problem in pairs], 1)


def width_of(labels: Labels, problem: Problem) -> int:
    """How many numbers a label of a task is."""
    return 1 if problem.classes else labels.size
