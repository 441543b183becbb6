"""Rows of each class, tables per class and confusion matrices: open for the first split (test, if scored), else folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfft.report.record import Record

FEW_CLASSES = 12  # up to this number, a confusion matrix has names on both axes, and classes keep their order
WORST_CLASSES = 20
MOST_CLASSES = 300  # of a table
MOST_PAIRS = 10


def section(record: Record) -> dict[str, Any] | None:
    """The rows of each class, and the table and confusion matrix of each split that has a table."""
    tables = record.metrics.get("classes", {})
    splits = [
        {
            "split": record.split(split),
            "table": class_table(tables[split]["classes"]),
            "confusion": confusion(tables[split].get("confusion"), names),
            "pairs": most_confused_pairs(tables[split].get("confusion"), names) or record.confused.get(split, []),
        }
        for split in ("test", "validation")
        if tables.get(split, {}).get("classes")
        for names in [[row["class"] for row in tables[split]["classes"]]]
    ]
    counts = count_table(record.metrics["data"].get("classes") or {})
    return {"splits": splits, "counts": counts} if splits or counts else None


def count_table(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """The number of rows of each class in each split; None if they are unknown."""
    if not counts:
        return None
    rows = [(name, [split.get(name, 0) for split in counts.values()]) for name in next(iter(counts.values()))]
    return {
        "splits": list(counts),
        "rows": rows[:MOST_CLASSES],
        "left_out": len(rows[MOST_CLASSES:]),
        "many": len(rows) > FEW_CLASSES,
    }


def class_table(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Precision, recall, F1 and size of each class; if there are many, the worst come first and the rest are folded."""
    many, count = len(rows) > FEW_CLASSES, len(rows)
    if many:  # classes without examples come last: they have no recall
        rows = sorted(rows, key=lambda row: (row["n"] == 0, row["f1"]))
    rest = rows[WORST_CLASSES:MOST_CLASSES]
    return {
        "count": count,
        "many": many,
        "worst": rows[:WORST_CLASSES],
        "rest": rest,
        "left_out": len(rows[MOST_CLASSES:]),
    }


def confusion(counts: Sequence[Sequence[int]] | None, names: Sequence[str]) -> dict[str, Any] | None:
    """The confusion matrix, the classes that are confused most first: each cell is a count and its share of the row.

    The share sets the strength of the cell's colour. `numbers` are the classes' own places, from 1.
    """
    if not counts:
        return None
    order = most_confused_first(counts)
    shares = [[(counts[i][j], counts[i][j] / (sum(counts[i]) or 1)) for j in order] for i in order]
    return {
        "few": len(names) <= FEW_CLASSES,
        "names": [names[i] for i in order],
        "rows": shares,
        "moved": order != sorted(order),
    }


def most_confused_first(counts: Sequence[Sequence[int]]) -> list[int]:
    """The classes by falling number of errors that they are part of, so that those stand together; ties in their order."""
    size = len(counts)
    errors = [sum(counts[i]) + sum(counts[j][i] for j in range(size)) - 2 * counts[i][i] for i in range(size)]
    return sorted(range(size), key=lambda i: -errors[i])


def most_confused_pairs(counts: Sequence[Sequence[int]] | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """The (true, predicted) pairs with the most rows, at most MOST_PAIRS, with their share of the rows of the true class."""
    pairs = [
        (counts[i][j], i, j)
        for i in range(len(counts or ()))
        for j in range(len(counts or ()))
        if i != j and counts and counts[i][j]
    ]
    return [
        {"true": names[i], "predicted": names[j], "count": count, "share": count / sum(counts[i]) if counts else 0.0}
        for count, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:MOST_PAIRS]
    ]
