"""Per-class tables and confusion matrices: those of the test split open, those of a second split folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfft.report.record import Record

FEW_CLASSES = 12  # up to here a confusion matrix has names on both axes, and classes keep their order
WORST_CLASSES = 20


def section(record: Record) -> dict[str, Any] | None:
    """The table of each split that has one, and its confusion matrix."""
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
    """Precision, recall, F1 and size of each class; of many the worst first and the better ones folded."""
    many = len(rows) > FEW_CLASSES
    if many:  # a class without examples has no recall that could be bad: it stands last
        rows = sorted(rows, key=lambda row: (row["n"] == 0, row["f1"]))
    return {"count": len(rows), "many": many, "worst": rows[:WORST_CLASSES], "rest": rows[WORST_CLASSES:]}


def confusion(counts: Sequence[Sequence[int]] | None, names: Sequence[str]) -> dict[str, Any] | None:
    """The confusion matrix: each cell a count and its share of the row, which is the strength of its colour."""
    if not counts:
        return None
    shares = [[(count, count / (sum(row) or 1)) for count in row] for row in counts]
    return {"few": len(names) <= FEW_CLASSES, "names": names, "rows": shares}
