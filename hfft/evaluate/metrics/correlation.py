"""The correlation of what was predicted with what is so: of the numbers (Pearson), or of their ranks (Spearman)."""

from __future__ import annotations

import evaluate
import numpy as np
from scipy import stats

from hfft.evaluate.metrics.info import NUMBERS, info


class Correlation(evaluate.Metric):
    """Correlation, mean over the outputs, in [-1, 1]; 0 for a constant. `config_name`: pearson or spearman."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Pearson's or Spearman's correlation", predictions=NUMBERS, references=NUMBERS)

    def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        function = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[self.config_name]
        pairs = list(zip(references.T, predictions.T, strict=True))
        found = [0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else function(a, b)[0] for a, b in pairs]
        return {self.config_name: float(np.mean(found))}
