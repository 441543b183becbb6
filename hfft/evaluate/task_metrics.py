"""The metrics of several tasks, each of its own rows, from the outputs of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hfft.evaluate.scores import Metrics
from hfft.tasks.labels import Labels
from hfft.tasks.problem import SeveralTasks, problem_of


class TaskMetrics:
    """`Metrics` of each task; it can serve as `compute_metrics` of a Trainer. A task's metrics are named `task_metric`.

    `loss` is the mean over the rows of all tasks, which `load_best_model_at_end` follows by default.

    Args:
        names: task -> its metrics.
    """

    def __init__(self, labels: Labels, names: Mapping[str, Sequence[str]]):
        problem = problem_of(labels)
        assert isinstance(problem, SeveralTasks)
        self.labels, self.problem = labels, problem
        self.tasks = {task: Metrics(one, names[task]) for task, one in labels.tasks}
        self.scored = [f"{task}_{name}" for task, metrics in self.tasks.items() for name in metrics.names]
        self.result: dict[str, Any] = {}
        self._present = dict.fromkeys(self.tasks, False)

    def __call__(self, prediction: Any, compute_result: bool = True) -> dict[str, float]:
        """Add a batch of the Trainer; with `compute_result`, compute all metrics and reset."""
        self.update(torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids))
        return self.compute() if compute_result else {}

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch of logits `(B, C)` and labels `(B, 1 + W)`, as `SeveralTasks` has them."""
        labels = labels.to(logits.device)
        for (task, metrics), (mine, own, given) in zip(
            self.tasks.items(), self.problem.each(logits, labels), strict=True
        ):
            if mine.any():
                metrics.update(own[mine], given[mine])
                self._present[task] = True

    def compute(self) -> dict[str, Any]:
        """Compute `loss`, the metrics of each task that has rows, and `n`, and reset.

        Raises:
            ValueError: no row was added.
            BadInput: a user's metric cannot be loaded, fails, or returns anything but numbers.
        """
        found = {task: metrics.compute() for task, metrics in self.tasks.items() if self._present[task]}
        if not found:
            raise ValueError("no row was scored; the split is empty")
        self._present = dict.fromkeys(self.tasks, False)
        rows = sum(values["n"] for values in found.values())
        flat = {
            f"{task}_{name}": value for task, values in found.items() for name, value in values.items() if name != "n"
        }
        self.scored[:] = [f"{task}_{name}" for task, metrics in self.tasks.items() for name in metrics.scored]
        values = {"loss": sum(v["loss"] * v["n"] for v in found.values()) / rows, **flat, "n": rows}
        self.result = {"metrics": values}
        return values
