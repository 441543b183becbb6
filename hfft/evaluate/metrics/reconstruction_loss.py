"""How far the completed pixels of an image are from its own."""

from __future__ import annotations

import evaluate
import numpy as np

from hfft.evaluate.metrics.info import NUMBER, info


class ReconstructionLoss(evaluate.Metric):
    """The mean error of a hidden pixel, in units of the model's input: absolute, or squared for a ViTMAE."""

    def _info(self) -> evaluate.MetricInfo:
        return info("mean error of a hidden pixel", losses=NUMBER, targets=NUMBER)

    def _compute(self, losses: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return {"reconstruction_loss": float(losses.sum(dtype=np.float64) / max(targets.sum(dtype=np.float64), 1))}
