"""Predict hidden tokens; the targets are made from the inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hfft.lazy import F
from hfft.tasks.measure import Measure
from hfft.tasks.problem.base import Problem, precise

if TYPE_CHECKING:
    from torch import Tensor


class MaskedTokens(Problem):
    """Logits `(B, T, V)`, labels `(B, T)` int, -100 where there is no target: cross-entropy of each hidden token."""

    name = "masked_language_modelling"
    per_token = True
    metrics = {"perplexity": Measure("perplexity", smaller_is_better=True)}
    default_metrics = ("perplexity",)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each row, summed over its hidden tokens, `(B,)`."""
        return F.cross_entropy(precise(logits).transpose(1, 2), labels, reduction="none").sum(1)  # 0 at -100

    def targets(self, labels: Tensor) -> Tensor:
        """Number of hidden tokens in each row."""
        return labels.ne(-100).sum(1).float()

    def count(self, labels: Tensor) -> Tensor:
        """Number of hidden tokens in the batch."""
        return labels.ne(-100).sum()

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """KL(p ‖ q) over the vocabulary, averaged over the tokens."""
        left, right = F.log_softmax(precise(p), -1), F.log_softmax(precise(q), -1)
        return (left.exp() * (left - right)).sum(-1).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the vocabulary."""
        return precise(logits).softmax(-1)

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss and number of hidden tokens of each row, stored instead of its logits: `(B, 2)`."""
        return {"losses": logits[:, 0], "targets": logits[:, 1]}

    def uniform(self, outputs: int) -> float | None:
        """ln V if the vocabulary's size is known."""
        return math.log(outputs) if outputs > 1 else None
