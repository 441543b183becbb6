"""Each of several classes is right or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hfft.lazy import F, torch
from hfft.tasks.measure import Measure
from hfft.tasks.problem.base import LOG_2, Problem, precise

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem.shown import Shown


class MultiLabel(Problem):
    """Logits `(B, C)`, labels `(B, C)` of 0 and 1: binary cross-entropy, averaged over the classes."""

    name = "multi_label_classification"
    multi_label = True
    metrics = {
        "f1_micro": Measure("f1", "micro"),
        "f1_macro": Measure("f1", "macro"),
        "subset_accuracy": Measure("subset_accuracy"),
        "hamming_accuracy": Measure("hamming_accuracy"),
        "average_precision": Measure("average_precision"),
    }
    default_metrics = ("f1_micro", "f1_macro")

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy of each row, `(B,)`."""
        logits = precise(logits)
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none").mean(1)

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """KL(p ‖ q) of the binary predictions, averaged over the classes."""
        p, q = precise(p), precise(q)
        yes, no = F.logsigmoid(p), F.logsigmoid(-p)
        return (yes.exp() * (yes - F.logsigmoid(q)) + no.exp() * (no - F.logsigmoid(-q))).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid of each class."""
        return precise(logits).sigmoid()

    def chosen(self, row: Tensor, names: Mapping[int, str], shown: Shown) -> list[int]:
        """The classes whose probability is at least their threshold."""
        return [i for i, value in enumerate(row.tolist()) if value >= shown.least(names[i])]

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """In addition to the losses: `probabilities`, `predictions` (1 from 0.5 on) and `references`, `(B, C)` each."""
        probabilities = self.probabilities(logits)
        said, there = (probabilities >= 0.5).to(torch.uint8), labels.bool().to(torch.uint8)
        return {
            **super().answers(logits, labels),
            "probabilities": probabilities,
            "predictions": said,
            "references": there,
        }

    def uniform(self, outputs: int) -> float | None:
        """ln 2."""
        return LOG_2
