"""What may be tried next: the lines that a run gives."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record


def section(record: Record) -> dict[str, Any] | None:
    """The lines of `advice`; None without any."""
    lines = record.metrics.get("advice") or []
    return {"lines": lines} if lines else None
