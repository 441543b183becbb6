"""The report of a run: one HTML file that needs no network and no script."""

from hfft.report.page import render, write_report
from hfft.report.record import Record

__all__ = ["Record", "render", "write_report"]
