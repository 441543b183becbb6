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
    groups = []
    for column, found in block.get("groups", {}).items():
        rows = sorted(found, key=lambda row: row["accuracy"]["value"])
        given = [
            (str(r["group"]), r["accuracy"]["value"], r["accuracy"].get("low"), r["accuracy"].get("high")) for r in rows
        ]
        drawn = bars(f"accuracy by {column}", f"{len(rows)} groups, the worst first", given, "accuracy", end=1.0)
        groups.append({"column": column, "rows": rows[:MOST], "left_out": len(rows[MOST:]), "drawn": drawn})
    splits = list(block.get("splits", {}).items())
    return {"title": TITLE, "block": block, "groups": groups, "splits": splits} if groups or splits else None
