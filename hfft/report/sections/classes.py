"""Rows of each class, tables per class and confusion matrices: open for the first split (test, if scored), else folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfft.report.record import Record

FEW_CLASSES = 12  # up to this number, a confusion matrix has names on both axes, and classes keep their order
WORST_CLASSES = 20


def section(record: Record) -> dict[str, Any] | None:
    """The rows of each class, and the table and confusion matrix of each split that has a table."""
    tables = record.metrics.get("classes", {})
    splits = [
        {
            "split": record.split(split),
            "table": class_table(tables[split]["classes"]),
            "confusion": confusion(tables[split].get("confusion"), [row["class"] for row in tables[split]["classes"]]),
        }
        for split in ("test", "validation")
        if tables.get(split, {}).get("classes")
    ]
    counts = count_table(record.metrics["data"].get("classes") or {})
    return {"splits": splits, "counts": counts} if splits or counts else None


def count_table(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """The number of rows of each class in each split; None if they are unknown."""
    if not counts:
        return None
    rows = [(name, [split.get(name, 0) for split in counts.values()]) for name in next(iter(counts.values()))]
    return {"splits": list(counts), "rows": rows, "many": len(rows) > FEW_CLASSES}


def class_table(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Precision, recall, F1 and size of each class; if there are many, the worst come first and the rest are folded."""
    many = len(rows) > FEW_CLASSES
    if many:  # classes without examples come last: they have no recall
        rows = sorted(rows, key=lambda row: (row["n"] == 0, row["f1"]))
    return {"count": len(rows), "many": many, "worst": rows[:WORST_CLASSES], "rest": rows[WORST_CLASSES:]}


def confusion(counts: Sequence[Sequence[int]] | None, names: Sequence[str]) -> dict[str, Any] | None:
    """The confusion matrix: each cell is a count and its share of the row, which sets the strength of its colour."""
    if not counts:
        return None
    shares = [[(count, count / (sum(row) or 1)) for count in row] for row in counts]
    return {"few": len(names) <= FEW_CLASSES, "names": names, "rows": shares}
