"""Metrics of a whole split, fed batch by batch: what is kept is a few numbers per example, never all logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hfft.errors import BadInput
from hfft.evaluate.class_counts import ClassCounts
from hfft.evaluate.load_metric import feed, figures_of, load_metric
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

if TYPE_CHECKING:
    import evaluate

WAITING = 2**16  # numbers that wait on their device: to fetch each batch would make it wait


class Metrics:
    """Feeds the named metrics and computes them; as `compute_metrics` of a Trainer it does so at the end of a split.

    Memory per example: class indices and the confidence (single label), probabilities (multi-label), values (regression).

    Args:
        names: metrics of the problem (`Problem.metrics`), or files that hold one; `loss` and `n` are always reported.
    """

    def __init__(self, labels: Labels, names: Sequence[str]):
        self.labels, self.names, self.problem = labels, tuple(names), PROBLEMS[labels.problem]
        self.result: dict[str, Any] = {}
        self.scored = list(names)  # then the names of the figures, of which a user's metric may return several
        self._metrics: dict[str, evaluate.Metric] = {}
        self._reset()

    def _reset(self) -> None:
        self._waiting: list[dict[str, Tensor]] = []
        self._loss, self._targets, self._rows = 0.0, 0.0, 0
        self._classes = ClassCounts(self.labels)
        self._metrics = {}

    def __call__(self, prediction: Any, compute_result: bool = True) -> dict[str, float]:
        """A Trainer's batch: feed it, and with `compute_result` compute and start over."""
        self.update(torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids))
        return self.compute() if compute_result else {}

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            logits: (B, C), or (B, 2) of loss and count where tokens were masked.
            labels: (B,) or (B, C).

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
        for name in self.names:
            if name not in self._metrics:
                self._metrics[name] = load_metric(name, self.problem.metrics)
            feed(self._metrics[name], name, columns, self.problem)

    def compute(self) -> dict[str, Any]:
        """Every metric of what was fed, `loss` (mean) and `n`, and start over; the per-class table is left in `result`.

        Raises:
            ValueError: nothing was fed.
            BadInput: a user's metric cannot be loaded, fails, or returns anything but numbers.
        """
        self._feed()
        if not self._rows:
            raise ValueError("no example was scored; the split is empty")
        found: dict[str, float] = {}
        for name, metric in self._metrics.items():
            for key, value in figures_of(metric, name).items():
                if key in found:
                    raise BadInput(f"score.metrics: {name} returns {key}, as another metric does; give it another name")
                found[key] = value
        self.scored[:] = found
        figures = {"loss": self._loss / max(self._targets, 1), **found, "n": self._rows}
        self.result = {"figures": figures, **self._classes.tables()}
        self._reset()
        return figures
