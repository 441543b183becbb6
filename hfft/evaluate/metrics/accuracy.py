"""The share of rows whose class is right."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.metrics.info import CLASS, info


class Accuracy(evaluate.Metric):
    """Share of rows whose class is right, in [0, 1]."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Share of rows whose class is right", predictions=CLASS, references=CLASS)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"accuracy": float((predictions == references).mean())}
