"""The report of a run: a single HTML file without scripts or network access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.report.examples import write_rows, write_rows_again
    from hfft.report.page import render, write_report
    from hfft.report.record import Record

__getattr__, __all__ = names(
    __name__,
    {
        "Record": "hfft.report.record",
        "render": "hfft.report.page",
        "write_report": "hfft.report.page",
        "write_rows": "hfft.report.examples",
        "write_rows_again": "hfft.report.examples",
    },
)
