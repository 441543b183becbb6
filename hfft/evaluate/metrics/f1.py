"""Harmonic mean of precision and recall, averaged over the classes."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn.metrics import f1_score

from hfft.evaluate.metrics.info import CLASS, CLASSES, info


class F1(evaluate.Metric):
    """Harmonic mean of precision and recall, in [0, 1]; `config_name` is scikit-learn's `average`: micro, macro or weighted."""

    def _info(self) -> evaluate.MetricInfo:
        one = {"predictions": CLASS, "references": CLASS}
        return info(
            "Harmonic mean of precision and recall, averaged over the classes",
            one,
            predictions=CLASSES,
            references=CLASSES,
        )

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        found = f1_score(references, predictions, average=self.config_name, zero_division=0)
        return {f"f1_{self.config_name}": float(found)}
