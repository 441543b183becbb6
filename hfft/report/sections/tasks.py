"""Several tasks on one backbone: the metrics of each, and what sharing changed."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record
from hfft.tasks.measure import metric_names


def section(record: Record) -> dict[str, Any] | None:
    """A row for each task and scored split; None for a single task."""
    tasks = record.metrics.get("tasks", {})
    rows = [
        {
            "task": task,
            "problem": found["problem"].replace("_", " "),
            "split": record.split(split, found[split]),
            "figures": [(name, found[split][name]) for name in metric_names(found[split])],
            "beside": found.get("single_task", {}).get(split),
        }
        for task, found in tasks.items()
        for split in ("test", "validation")
        if split in found
    ]
    return {"rows": rows, "compared": any(row["beside"] for row in rows)} if rows else None
