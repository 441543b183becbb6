"""How far each block moved from the start, and how alike its features remained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfft.report.plot import Line, lines
from hfft.report.record import Record

BLOCK, TITLE = "representation", "Representation"


def section(record: Record) -> dict[str, Any] | None:
    """The table of blocks, and LogME before and after."""
    block = record.block(BLOCK)
    if block is None:
        return None
    rows = block.get("rows", [])
    places = list(enumerate(rows, 1))
    given = [
        Line("CKA to the start", [(i, row["cka"]) for i, row in places if row.get("cka") is not None], True),
        Line("distance moved", [(i, row["moved"]) for i, row in places if row.get("moved") is not None], True),
    ]
    said = (
        f"similarity to the start (CKA) and relative distance of the weights over {len(rows)} blocks, from the input on"
    )
    drawn = lines("blocks, from the input on", said, [line for line in given if line.points], ("block", ""))
    logme = block.get("logme")
    return {
        "title": TITLE,
        "block": block,
        "rows": rows,
        "drawn": drawn,
        "logme": logme if isinstance(logme, Mapping) else None,
    }
