"""How far a model's confidence is from how often it is right."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.calibration import BINS, expected_calibration_error
from hfft.evaluate.metrics.info import CLASS, NUMBER, info


class CalibrationError(evaluate.Metric):
    """Expected calibration error, in [0, 1]."""

    def _info(self) -> evaluate.MetricInfo:
        return info(
            f"Expected calibration error over {BINS} bins of equal width",
            citation="Guo et al. 2017, arXiv:1706.04599",
            predictions=CLASS,
            confidences=NUMBER,
            references=CLASS,
        )

    def _compute(self, predictions: np.ndarray, confidences: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"ece": expected_calibration_error(confidences, predictions == references)}
