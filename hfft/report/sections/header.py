"""The backbone and the data of the run, each with its revision."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record
from hfft.tasks.problem import PROBLEMS


def section(record: Record) -> dict[str, Any]:
    """The recipe's name, the backbone and its edits, the data and the task."""
    metrics = record.metrics
    problem = metrics["problem"]
    return {
        "title": str(metrics["recipe"]),
        "backbone": metrics["backbone"],
        "edits": metrics.get("edits", []),
        "data": metrics["data"],
        "task": f"{metrics['task']}, {problem.replace('_', ' ')}",
        "classes": len(metrics["labels"]) if PROBLEMS[problem].class_names else None,
        "seed": metrics["seed"],
    }
