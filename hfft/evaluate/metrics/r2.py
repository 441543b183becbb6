"""The share of the variance that is explained."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn.metrics import r2_score

from hfft.evaluate.metrics.info import NUMBERS, info


class R2(evaluate.Metric):
    """Coefficient of determination, mean over the outputs, at most 1; 0 for a single row, of which it says nothing."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Coefficient of determination", predictions=NUMBERS, references=NUMBERS)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"r2": float(r2_score(references, predictions)) if len(references) > 1 else 0.0}
