"""The runs that were averaged, or the start and end that were interpolated, and what each of them scored on validation."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record
from hfft.tasks.measure import metric_names


def section(record: Record) -> dict[str, Any] | None:
    """One row per candidate; None for a run that was trained."""
    soup = record.metrics.get("soup")
    if soup is None:
        return None
    names = ["loss", *metric_names(soup["table"][0]["validation"])]
    return {
        "rows": [{**row, "values": [row["validation"].get(name) for name in names]} for row in soup["table"]],
        "names": names,
        "split": record.split("validation"),
        "metric": soup["metric"],
        "statistics": soup["statistics"],
    }
