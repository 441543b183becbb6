"""The share of rows of which every class is right."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.metrics.info import CLASSES, info


class SubsetAccuracy(evaluate.Metric):
    """Share of rows of which every class is right, in [0, 1]."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Share of rows of which every class is right", predictions=CLASSES, references=CLASSES)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"subset_accuracy": float((predictions == references).all(1).mean())}
