"""The finished model beside the models that methods compare it with, such as a teacher."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record


def section(record: Record) -> dict[str, Any] | None:
    """Two rows per comparison, the reference and the model; None without any."""
    compared = record.metrics.get("compared", {})
    return {"compared": compared} if compared else None
