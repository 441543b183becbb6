"""Spread a share of each target over all classes (Szegedy et al. 2016, arXiv:1512.00567).

It is enabled by `training.label_smoothing_factor`, transformers' own name for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import At, Inner, Method

if TYPE_CHECKING:
    from torch import Tensor


class Smoothed(Method):
    """Mixes the label's loss with the mean loss over all classes.

    Args:
        factor: share of the target that is spread over all classes, in [0, 1).
    """

    problems = ("single_label_classification",)

    def __init__(self, factor: float):
        self.factor = factor

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The smoothed loss; for labels of K classes, each is smoothed separately."""
        everywhere = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
        spread = inner(logits, everywhere).mean(1)
        return (1 - self.factor) * inner(logits, labels) + self.factor * (
            spread if labels.ndim == 1 else spread[:, None]
        )
