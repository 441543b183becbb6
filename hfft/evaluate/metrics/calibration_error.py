"""How far a model's confidence is from how often it is right."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.metrics.info import CLASS, NUMBER, info

BINS = 15


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


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Mean distance of confidence (N,) and accuracy over equal-width bins (right edge included), weighted by size.

    In [0, 1]; Guo et al. 2017 (arXiv:1706.04599), 15 bins.
    """
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=correct.astype(float) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))
