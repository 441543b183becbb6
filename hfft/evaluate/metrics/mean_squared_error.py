"""The mean squared error, and its root."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn import metrics

from hfft.evaluate.metrics.info import NUMBERS, info


class MeanSquaredError(evaluate.Metric):
    """Mean squared error over rows and outputs; with `config_name` root its root, of each output and then the mean."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Mean squared error, or its root", predictions=NUMBERS, references=NUMBERS)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        if self.config_name == "root":
            return {"rmse": float(metrics.root_mean_squared_error(references, predictions))}
        return {"mse": float(metrics.mean_squared_error(references, predictions))}
