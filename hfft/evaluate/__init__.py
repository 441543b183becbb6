"""Evaluate: metrics fed batch by batch, the scores of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.evaluate.metrics import Metrics
    from hfft.evaluate.splits import score_splits

__getattr__, __all__ = names(
    __name__,
    {
        "Metrics": "hfft.evaluate.metrics",
        "score_splits": "hfft.evaluate.splits",
    },
)
