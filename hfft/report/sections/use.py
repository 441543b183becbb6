"""How a model that was not trained answers, and what stands for each class in it."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record


def section(record: Record) -> dict[str, Any] | None:
    """One row per class; None for a run that was trained."""
    use = record.metrics.get("use")
    if use is None:
        return None
    return {"how": use["how"], "notes": use.get("notes", []), "rows": list(use.get("classes", {}).items())}
