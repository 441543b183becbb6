"""The loss of each of several tasks: its weight, and the methods that a recipe names for its rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.loss_chain import chain
from hfft.strategy.method import At, Inner, Method, Setting
from hfft.strategy.tasks.by_task import ByTask

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class OwnLoss:
    """The loss of one task.

    Attributes:
        weight: factor of its rows' losses.
        methods: those that change the loss of its rows.
        class_ids: `(rows,)` class of each of its training rows, or `(rows, C)` of 0 and 1, for methods that need `counts`.
    """

    weight: float = 1.0
    methods: Sequence[Method] = ()
    class_ids: np.ndarray | None = field(default=None, compare=False)


class OwnLosses(ByTask):
    """Replaces the loss of each row by that of its task."""

    replaces_loss = True

    def __init__(self, tasks: Sequence[OwnLoss]):
        self.tasks = tuple(tasks)

    def start(self, setting: Setting) -> None:
        """Start each task's methods, as in a run of that task."""
        super().start(setting)
        for own, (_, labels), problem in zip(self.tasks, self.problem.parts, self.problem.problems, strict=True):
            rows = None if own.class_ids is None else len(own.class_ids)
            mine = replace(
                setting, problem=problem, outputs=labels.size, class_names=labels.names, domain_ids=None, rows=rows
            )
            for method in own.methods:
                method.start(replace(mine, class_ids=own.class_ids))
        self.factors = torch.tensor([own.weight for own in self.tasks], device=setting.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of each row in its task, times the task's weight."""
        found = None
        for own, problem, (mine, part, given) in zip(
            self.tasks, self.problem.problems, self.problem.each(logits, labels), strict=True
        ):
            loss = chain(own.methods, problem.loss)(part, given, at)
            found = torch.where(mine, loss, torch.zeros_like(loss) if found is None else found)
        assert found is not None
        return found * self.factors.to(found.device)[self.problem.tasks_of(labels)]

    def row_weights(self, labels: Tensor) -> Tensor:
        """The weight of each row's task, times those that its methods give to its class."""
        factors = self.factors.to(labels.device)[self.problem.tasks_of(labels)]
        for task, own in enumerate(self.tasks):
            weighing = [method for method in own.methods if weighs(method)]
            mine, given = self.problem.tasks_of(labels) == task, self.problem.own_labels(task, labels)
            for method in weighing:
                factors = torch.where(mine, factors * method.row_weights(given), factors)
        return factors


def weighs(method: Method) -> bool:
    """Whether a method puts a factor on each row's loss."""
    return type(method).row_weights is not Method.row_weights
