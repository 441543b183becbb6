"""One number or several are to be predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.tasks.problem.base import Problem, precise

if TYPE_CHECKING:
    from torch import Tensor


class Regression(Problem):
    """Outputs `(B, D)`, labels `(B, D)` or `(B,)`: squared error, mean over the outputs."""

    name = "regression"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Squared error of each row, `(B,)`."""
        logits = precise(logits)
        return (logits - labels.to(logits.dtype).view_as(logits)).square().flatten(1).mean(1)

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """Squared distance, mean over the outputs: twice the KL of two normals of variance 1."""
        return (precise(p) - precise(q)).square().flatten(1).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The outputs themselves."""
        return precise(logits)
