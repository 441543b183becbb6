"""The share of rows whose class is among the five likeliest."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.metrics.info import CLASS, info


class Top5Accuracy(evaluate.Metric):
    """Share of rows whose class has fewer than five others before it, in [0, 1]."""

    def _info(self) -> evaluate.MetricInfo:
        return info("Share of rows whose class is among the five likeliest", ranks=CLASS)

    def _compute(self, ranks: np.ndarray) -> dict[str, float]:
        return {"top5_accuracy": float((ranks < 5).mean())}
