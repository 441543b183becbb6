"""The report of a run: a single HTML file without scripts or network access."""

from hfft.report.page import render, write_report
from hfft.report.record import Record

__all__ = ["Record", "render", "write_report"]
