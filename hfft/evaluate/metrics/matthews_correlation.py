"""The correlation of the classes said with those that are right."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn.metrics import matthews_corrcoef

from hfft.evaluate.metrics.info import CLASS, info


class MatthewsCorrelation(evaluate.Metric):
    """Matthews correlation coefficient of any number of classes, in [-1, 1]; 0 for a constant."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Matthews correlation coefficient", predictions=CLASS, references=CLASS)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}
