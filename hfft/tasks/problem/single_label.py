"""One of several classes is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfft.lazy import F, torch
from hfft.tasks.measure import Measure
from hfft.tasks.problem.base import Problem, precise

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hfft.tasks.problem.shown import Shown


class SingleLabel(Problem):
    """Logits `(B, C)`, labels `(B,)` int: cross-entropy."""

    name = "single_label_classification"
    classes = True
    metrics = {
        "accuracy": Measure("accuracy"),
        "balanced_accuracy": Measure("balanced_accuracy"),
        "f1_macro": Measure("f1", "macro"),
        "f1_micro": Measure("f1", "micro"),
        "f1_weighted": Measure("f1", "weighted"),
        "precision_macro": Measure("precision", "macro"),
        "recall_macro": Measure("recall", "macro"),
        "top5_accuracy": Measure("top5_accuracy"),
        "ece": Measure("calibration_error", smaller_is_better=True),
        "matthews_correlation": Measure("matthews_correlation"),
    }
    default_metrics = ("accuracy", "f1_macro")

    def empty_label(self, outputs: int) -> Any:
        """Class 0."""
        return 0

    def label_tensor(self, values: np.ndarray) -> Tensor:
        """Class indices, `(B,)` int64."""
        return torch.from_numpy(values[:, 0].astype("int64"))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each row, `(B,)`; for labels `(B, K)` of K classes, `(B, K)`."""
        logits = precise(logits)
        if labels.ndim == 2:
            return -F.log_softmax(logits, 1).gather(1, labels)
        return F.cross_entropy(logits, labels, reduction="none")

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """KL(p ‖ q) over the classes."""
        left, right = F.log_softmax(precise(p), 1), F.log_softmax(precise(q), 1)
        return (left.exp() * (left - right)).sum(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes."""
        return precise(logits).softmax(1)

    def chosen(self, row: Tensor, names: Mapping[int, str], shown: Shown) -> list[int]:
        """The most probable class."""
        return [int(row.argmax())]

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """In addition to the losses: `predictions`, their `confidences`, `references` and their `ranks` from 0, `(B,)` each."""
        confidences, predictions = self.probabilities(logits).max(1)
        return {
            **super().answers(logits, labels),
            "predictions": predictions.int(),
            "confidences": confidences,
            "references": labels.int(),
            "ranks": (logits > logits.gather(1, labels[:, None])).sum(1).int(),
        }

    def uniform(self, outputs: int) -> float | None:
        """ln C."""
        return math.log(outputs)
