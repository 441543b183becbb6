"""One of several classes is right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hfft.lazy import F
from hfft.tasks.problem.base import Problem, precise

if TYPE_CHECKING:
    from torch import Tensor


class SingleLabel(Problem):
    """Logits `(B, C)`, labels `(B,)` int: cross-entropy."""

    name = "single_label_classification"
    classes = True

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each row, `(B,)`; of labels `(B, K)`, K classes that are asked about, `(B, K)`."""
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

    def uniform(self, outputs: int) -> float | None:
        """ln C."""
        return math.log(outputs)
