"""The metrics: a card for each scored split, next to those of the same recipe from random weights."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record
from hfft.tasks.problem import smaller_is_better


def section(record: Record) -> dict[str, Any] | None:
    """A card for each scored split, and what the figures do not say by themselves; None where each task has its own."""
    if record.metrics.get("tasks"):
        return None
    return {
        "findings": record.metrics.get("findings", []),
        "cards": [card(record, split) for split in ("validation", "test") if split in record.metrics],
    }


def card(record: Record, split: str) -> dict[str, Any]:
    """The metrics of a split, the origin of its rows and, if available, the metrics from random weights."""
    scores = record.metrics[split]
    scratch = record.metrics.get("from_scratch", {}).get(split, {})
    return {
        "split": record.split(split),
        "origin": record.metrics["data"]["origin"].get(split, "unknown"),
        "scratch": record.split(split, scratch) if scratch else None,
        "sets": by_set(record, split),
        "rows": [
            {
                "name": name,
                "arrow": "↓" if smaller_is_better(name) else "↑",
                "value": value,
                "scratch": scratch.get(name),
                "difference": value - scratch[name] if name in scratch else None,
            }
            for name, value in scores.items()
            if name != "n"
        ],
    }


def by_set(record: Record, split: str) -> dict[str, Any] | None:
    """The metrics of each set of a mix: their names, and a row for each set; None for a single set."""
    found = record.metrics.get("by_set", {}).get(split)
    if not found:
        return None
    names = [name for name in next(iter(found.values())) if name != "n"]
    rows = [(name, scores["n"], [scores.get(metric) for metric in names]) for name, scores in found.items()]
    return {"names": names, "rows": rows}
