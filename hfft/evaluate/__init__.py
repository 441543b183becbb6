"""Evaluate: metrics fed batch by batch, the scores of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.evaluate.further import check_further
    from hfft.evaluate.load_metric import check_files
    from hfft.evaluate.old_task import measure_retention, retention, with_old_head
    from hfft.evaluate.scores import Metrics
    from hfft.evaluate.splits import score_splits

__getattr__, __all__ = names(
    __name__,
    {
        "Metrics": "hfft.evaluate.scores",
        "check_files": "hfft.evaluate.load_metric",
        "check_further": "hfft.evaluate.further",
        "measure_retention": "hfft.evaluate.old_task",
        "retention": "hfft.evaluate.old_task",
        "score_splits": "hfft.evaluate.splits",
        "with_old_head": "hfft.evaluate.old_task",
    },
)
