"""Scorecard: what a finished model is worth, in blocks of figures with their uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.scorecard.evidence import Evidence
    from hfft.scorecard.scorecard import lines, make, of_run, read, update, write

__getattr__, __all__ = names(
    __name__,
    {
        "Evidence": "hfft.scorecard.evidence",
        "lines": "hfft.scorecard.scorecard",
        "make": "hfft.scorecard.scorecard",
        "of_run": "hfft.scorecard.scorecard",
        "read": "hfft.scorecard.scorecard",
        "update": "hfft.scorecard.scorecard",
        "write": "hfft.scorecard.scorecard",
    },
)
