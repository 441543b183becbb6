"""The area below the curve of precision over recall, mean over the classes that occur."""

from __future__ import annotations

import evaluate
import numpy as np
from sklearn.metrics import average_precision_score

from hfft.evaluate.metrics.info import CLASSES, NUMBERS, info


class AveragePrecision(evaluate.Metric):
    """Average precision, mean over the classes that occur, in [0, 1]; 0 where none does."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Average precision, mean over the classes", probabilities=NUMBERS, references=CLASSES)

    def _compute(self, probabilities: np.ndarray, references: np.ndarray) -> dict[str, float]:
        occurring = references.any(0)
        if not occurring.any():
            return {"average_precision": 0.0}
        found = average_precision_score(references[:, occurring], probabilities[:, occurring])
        return {"average_precision": float(found)}
