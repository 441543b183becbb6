"""The share of right answers, each class of each row being one."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.metrics.info import CLASSES, info


class HammingAccuracy(evaluate.Metric):
    """Share of right answers over rows and classes, in [0, 1]."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Share of right answers over rows and classes", predictions=CLASSES, references=CLASSES)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"hamming_accuracy": float((predictions == references).mean())}
