"""Per-class tables and confusion matrices: open for the first split (test, if scored), folded for a second one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfft.report.record import Record

FEW_CLASSES = 12  # up to this number, a confusion matrix has names on both axes, and classes keep their order
WORST_CLASSES = 20


def section(record: Record) -> dict[str, Any] | None:
    """The table and confusion matrix of each split that has a table."""
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
    return {"splits": splits} if splits else None


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
