"""The mean absolute error."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn import metrics

from hfft.evaluate.metrics.info import NUMBERS, info


class MeanAbsoluteError(evaluate.Metric):
    """Mean absolute error over rows and outputs."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Mean absolute error", predictions=NUMBERS, references=NUMBERS)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"mae": float(metrics.mean_absolute_error(references, predictions))}
