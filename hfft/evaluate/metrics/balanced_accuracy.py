"""The mean recall of the classes that occur."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn.metrics import recall_score

from hfft.evaluate.metrics.info import CLASS, info


class BalancedAccuracy(evaluate.Metric):
    """Mean recall of the classes that occur, in [0, 1]."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Mean recall of the classes that occur", predictions=CLASS, references=CLASS)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        occurring = np.unique(references)
        found = recall_score(references, predictions, labels=occurring, average="macro", zero_division=0)
        return {"balanced_accuracy": float(found)}
