"""How sure the figures of the task are: each with its interval over the rows of the split."""

from __future__ import annotations

from typing import Any

from hfft.report.plot import bars
from hfft.report.record import Record

BLOCK, TITLE = "task", "Figures with intervals"


def section(record: Record) -> dict[str, Any] | None:
    """Every figure of the block; those between 0 and 1 are drawn as well."""
    block = record.block(BLOCK)
    if block is None:
        return None
    rows = [(name.replace("_", " "), found) for name, found in block["figures"].items()]
    shares = [
        (name, found["value"], found["low"], found["high"])
        for name, found in rows
        if found.get("low", -1) >= 0 and found["high"] <= 1
    ]
    said = f"{len(shares)} figures between 0 and 1 on {record.split(block['split'])}"
    drawn = bars("figures and their intervals of 95 %", said, shares, "value", end=1.0) if len(shares) > 1 else None
    return {"title": TITLE, "block": block, "rows": rows, "drawn": drawn}
