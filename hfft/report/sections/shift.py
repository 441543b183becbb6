"""Where the model is worse: groups of rows, and other splits."""

from __future__ import annotations

from typing import Any

from hfft.report.plot import bars
from hfft.report.record import Record

BLOCK, TITLE = "shift", "Groups and other splits"
MOST = 30  # groups of a column that are listed


def section(record: Record) -> dict[str, Any] | None:
    """A table of each column's groups, the worst first, and of the other splits."""
    block = record.block(BLOCK)
    if block is None:
        return None
    measure = block.get("measure", "accuracy")
    worst_first = -1 if measure == "mae" else 1
    groups = []
    for column, found in block.get("groups", {}).items():
        rows = sorted(found, key=lambda row: worst_first * row[measure]["value"])
        given = [(str(r["group"]), r[measure]["value"], r[measure].get("low"), r[measure].get("high")) for r in rows]
        drawn = bars(
            f"{measure} by {column}",
            f"{len(rows)} groups, the worst first",
            given,
            measure,
            end=None if measure == "mae" else 1.0,
        )
        groups.append({"column": column, "rows": rows[:MOST], "left_out": len(rows[MOST:]), "drawn": drawn})
    splits = list(block.get("splits", {}).items())
    return (
        {"title": TITLE, "block": block, "groups": groups, "splits": splits, "measure": measure}
        if groups or splits
        else None
    )
