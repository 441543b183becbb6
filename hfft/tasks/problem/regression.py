"""Predict one number or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfft.errors import BadInput
from hfft.tasks.measure import Measure
from hfft.tasks.problem.base import PLAIN, Problem, precise
from hfft.tasks.problem.shown import Shown, rounded

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

    def describe(self, row: Tensor, names: Mapping[int, str], shown: Shown = PLAIN) -> dict[str, Any]:
        """The number, or a list of several."""
        values = [rounded(value, ".6g") for value in row.tolist()]
        return {"value": values[0] if len(values) == 1 else values}

    def check_shown(self, shown: Shown, names: Mapping[int, str]) -> None:
        """Raise BadInput if anything about classes is to be reported."""
        asked = {
            "--probabilities": shown.probabilities,
            "--top-k": shown.top_k is not None,
            "--threshold": shown.selects,
        }
        for option in (option for option, given in asked.items() if given):
            raise BadInput(f"{option}: is about classes, but the model is a regression; leave it out")

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """In addition to the losses: `predictions` and `references`, `(B, D)` each."""
        return {
            **super().answers(logits, labels),
            "predictions": logits,
            "references": labels.float().view_as(logits),
        }
