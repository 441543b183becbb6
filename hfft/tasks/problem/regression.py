"""Predict one number or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hfft.tasks.measure import Measure
from hfft.tasks.problem.base import Problem, precise

if TYPE_CHECKING:
    from torch import Tensor


class Regression(Problem):
    """Outputs `(B, D)`, labels `(B, D)` or `(B,)`: squared error, averaged over the outputs."""

    name = "regression"
    fewest_outputs = 1
    unit = "squared error"
    metrics = {
        "mse": Measure("mean_squared_error", smaller_is_better=True),
        "rmse": Measure("mean_squared_error", "root", smaller_is_better=True),
        "mae": Measure("mean_absolute_error", smaller_is_better=True),
        "r2": Measure("r2"),
        "pearson": Measure("correlation", "pearson"),
        "spearman": Measure("correlation", "spearman"),
    }
    default_metrics = ("rmse", "spearman")

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Squared error of each row, `(B,)`."""
        logits = precise(logits)
        return (logits - labels.to(logits.dtype).view_as(logits)).square().flatten(1).mean(1)

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """Squared distance, averaged over the outputs: twice the KL divergence of two normals with variance 1."""
        return (precise(p) - precise(q)).square().flatten(1).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The outputs themselves."""
        return precise(logits)

    def describe(self, row: Tensor, names: Mapping[int, str]) -> dict[str, str]:
        """The numbers."""
        return {"value": "|".join(f"{v:.6g}" for v in row.tolist())}

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """In addition to the losses: `predictions` and `references`, `(B, D)` each."""
        return {
            **super().answers(logits, labels),
            "predictions": logits,
            "references": labels.float().view_as(logits),
        }
