"""The methods of the strategy, and what they cost."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record
from hfft.strategy.describe import options_in_words


def section(record: Record) -> dict[str, Any] | None:
    """One row per method; None without methods."""
    methods = record.metrics.get("strategy", [])
    rows = [{**method, "options": options_in_words(method["options"])} for method in methods]
    return {"rows": rows} if rows else None
