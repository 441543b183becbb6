"""Score the held-out splits with the Trainer that trained, on all its processes."""

from __future__ import annotations

from typing import Any

from hfft.data import Prepared
from hfft.evaluate.scores import Metrics
from hfft.train import FineTuner


def score_splits(trainer: FineTuner, prepared: Prepared, metrics: Metrics) -> dict[str, dict[str, Any]]:
    """Split -> its figures (`n` among them), per-class table and confusion matrix."""
    scores: dict[str, dict[str, Any]] = {}
    for name, rows in prepared.items():
        trainer.evaluate(rows, metric_key_prefix=name)
        scores[name] = metrics.result
    return scores
