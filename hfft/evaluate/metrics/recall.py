"""Share of what is there that was said, averaged over the classes."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn.metrics import recall_score

from hfft.evaluate.metrics.info import CLASS, CLASSES, info


class Recall(evaluate.Metric):
    """Share of what is there that was said, in [0, 1]; `config_name` is scikit-learn's `average`: micro, macro or weighted."""

    def _info(self) -> evaluate.MetricInfo:
        one = {"predictions": CLASS, "references": CLASS}
        return info(
            "Share of what is there that was said, averaged over the classes",
            one,
            predictions=CLASSES,
            references=CLASSES,
        )

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        found = recall_score(references, predictions, average=self.config_name, zero_division=0)
        return {f"recall_{self.config_name}": float(found)}
