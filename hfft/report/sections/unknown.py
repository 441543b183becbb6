"""What happens when the model may answer `unknown` below a threshold of confidence."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record

BLOCK, TITLE = "unknown", "Answering unknown"


def section(record: Record) -> dict[str, Any] | None:
    """The rate of rejected rows, the accuracy of the rest, and the rates on data of another kind."""
    block = record.block(BLOCK)
    if block is None:
        return None
    return {"title": TITLE, "block": block, "ood": list(block.get("ood", {}).items())}
