"""How many tokens a model is torn between."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.metrics.info import NUMBER, info


class Perplexity(evaluate.Metric):
    """exp of the mean loss of a target, at least 1; below e^700, so that a float holds it."""

    def _info(self) -> evaluate.MetricInfo:
        return info("exp of the mean loss of a target", losses=NUMBER, targets=NUMBER)

    def _compute(self, losses: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        loss = losses.sum(dtype=np.float64) / max(targets.sum(dtype=np.float64), 1)
        return {"perplexity": float(np.exp(min(loss, 700.0)))}
