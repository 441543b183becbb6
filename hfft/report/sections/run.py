"""Faults, duration, processes and versions of the run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hfft.report.record import Record


def section(record: Record) -> dict[str, Any]:
    """The faults and the facts of a run."""
    metrics = record.metrics
    return {
        "faults": metrics.get("faults", []),
        "train": metrics["train"],
        "use": metrics.get("use"),
        "split": record.split("train"),
        "counts": {  # rows of each split with a finding
            "bad rows left out": metrics["data"].get("skipped") or {},
            "held-out rows also in train": metrics["data"].get("leaked") or {},
            "rows whose labels were not read": metrics["data"].get("unread") or {},
            "labels wrong on purpose": metrics["data"].get("wrong_labels") or {},
        },
        "origin": metrics["data"]["origin"].get("train", "–"),
        "duration": str(timedelta(seconds=round(metrics["train"]["seconds"]))),
        "processes": metrics["world_size"],
        "versions": metrics["versions"],
    }
