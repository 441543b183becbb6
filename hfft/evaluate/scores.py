"""Compute the metrics of a split batch by batch, storing a few numbers per row instead of all logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hfft.errors import BadInput
from hfft.evaluate.class_counts import ClassCounts
from hfft.evaluate.load_metric import direct_values, feed, inputs, load_metric, metric_values
from hfft.tasks.labels import Labels
from hfft.tasks.measure import is_file
from hfft.tasks.problem import PROBLEMS

if TYPE_CHECKING:
    import evaluate

WAITING = 2**16  # numbers that stay on their device before they are fetched: fetching every batch would stall a GPU


class Metrics:
    """Feeds and computes the named metrics; it can serve as `compute_metrics` of a Trainer.

    Memory per row: class indices and the confidence (single label), probabilities (multi-label), values (regression).

    Args:
        names: metrics of the problem (`Problem.metrics`), or files with one each; `loss` and `n` are always reported.
    """

    def __init__(self, labels: Labels, names: Sequence[str]):
        self.labels, self.names, self.problem = labels, tuple(dict.fromkeys(names)), PROBLEMS[labels.problem]
        self.result: dict[str, Any] = {}
        self.scored = list(names)  # later the names of all values, since a user's metric may return several
        self._metrics: dict[str, evaluate.Metric] = {}
        self._reset()

    def _reset(self) -> None:
        self._waiting: list[dict[str, Tensor]] = []
        self._loss, self._targets, self._rows = 0.0, 0.0, 0
        self._classes = ClassCounts(self.labels)
        self._columns: list[dict[str, np.ndarray]] = []  # what the package's own metrics need
        self._metrics = {name: metric for name, metric in self._metrics.items() if not is_file(name)}

    def __call__(self, prediction: Any, compute_result: bool = True) -> dict[str, float]:
        """Add a batch of the Trainer; with `compute_result`, compute all metrics and reset."""
        self.update(torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids))
        return self.compute() if compute_result else {}

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            logits: `(B, C)`, or loss and number of targets `(B, 2)` for masked tokens.
            labels: `(B,)` or `(B, C)`.

        Raises:
            BadInput: a user's metric cannot be loaded or fed.
        """
        logits = logits.detach().float()
        self._waiting.append(self.problem.answers(logits, labels.to(logits.device)))
        if sum(column.numel() for batch in self._waiting for column in batch.values()) >= WAITING:
            self._feed()

    def _feed(self) -> None:
        if not self._waiting:
            return
        columns = {name: torch.cat([batch[name] for batch in self._waiting]).cpu().numpy() for name in self._waiting[0]}
        self._waiting = []
        self._rows += len(columns["losses"])
        self._loss += float(columns["losses"].sum(dtype=float))
        self._targets += float(columns["targets"].sum(dtype=float))
        self._classes.add(columns)
        needed = set[str]()
        for name in self.names:
            if name not in self._metrics:
                self._metrics[name] = load_metric(name, self.problem.metrics)
            if is_file(name):
                feed(self._metrics[name], name, columns, self.problem)
            else:
                needed.update(inputs(self._metrics[name]))
        self._columns.append({name: columns[name] for name in needed})

    def compute(self) -> dict[str, Any]:
        """Compute `loss` (the mean), every metric and `n`, and reset; `result` also holds the table per class.

        Raises:
            ValueError: no row was added.
            BadInput: a user's metric cannot be loaded, fails, or returns anything but numbers.
        """
        self._feed()
        if not self._rows:
            raise ValueError("no row was scored; the split is empty")
        found: dict[str, float] = {}
        columns = {name: np.concatenate([piece[name] for piece in self._columns]) for name in self._columns[0]}
        for name in self.names:
            metric = self._metrics[name]
            figures = metric_values(metric, name) if is_file(name) else direct_values(metric, columns)
            for key, value in figures.items():
                if key in found:
                    raise BadInput(f"score.metrics: {name} returns {key}, as another metric does; rename it")
                found[key] = value
        self.scored[:] = found
        values = {"loss": self._loss / max(self._targets, 1), **found, "n": self._rows}
        self.result = {"metrics": values, **self._classes.tables()}
        self._reset()
        return values
