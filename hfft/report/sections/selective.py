"""What is gained by answering only the rows that the model is sure of, and sets of classes that contain the true one."""

from __future__ import annotations

from typing import Any

from hfft.report.plot import Line, lines
from hfft.report.record import Record

BLOCK, TITLE = "selective", "Answering only when sure"
NAMES = {"aurc": "area under the risk-coverage curve", "accuracy_at_80": "accuracy of the surest 80 % of the rows"}


def section(record: Record) -> dict[str, Any] | None:
    """The figures, the risk-coverage curve, and the conformal sets."""
    block = record.block(BLOCK)
    if block is None:
        return None
    rows = [(NAMES.get(name, name.replace("_", " ")), found) for name, found in block["figures"].items()]
    said = f"share of wrong answers among the surest rows of {record.split(block['split'])}"
    curve = [(point[0], point[1]) for point in block.get("curve", [])]
    drawn = lines("risk over coverage", said, [Line("risk", curve)], ("coverage", "risk"), x=(0, 1))
    return {"title": TITLE, "block": block, "rows": rows, "drawn": drawn, "conformal": block.get("conformal")}
