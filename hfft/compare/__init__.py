"""Finished runs side by side: their recipes' differences, their figures, tests on the same rows; and the runs of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.compare.comparison import Comparison, compare_runs
    from hfft.compare.listing import RunLine, runs_of

__getattr__, __all__ = names(
    __name__,
    {
        "Comparison": "hfft.compare.comparison",
        "compare_runs": "hfft.compare.comparison",
        "RunLine": "hfft.compare.listing",
        "runs_of": "hfft.compare.listing",
    },
)
