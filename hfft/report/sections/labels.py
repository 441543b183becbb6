"""Rows whose label the model doubts, near-duplicates, and rows that are in two splits."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record

BLOCK, TITLE = "labels", "Labels to check"
MOST = 20  # rows of each list


def section(record: Record) -> dict[str, Any] | None:
    """The first rows of each list, and how long the lists are."""
    block = record.block(BLOCK)
    if block is None:
        return None
    doubted, duplicates = block.get("doubted", []), block.get("duplicates", [])
    leaks = [
        (name.replace("_exact", ", exact copies").replace("_", " "), count)
        for name, count in block.get("leaks", {}).items()
    ]
    return {
        "title": TITLE,
        "block": block,
        "doubted": doubted[:MOST],
        "doubted_count": block.get("doubted_n", len(doubted)),
        "duplicates": duplicates[:MOST],
        "duplicates_count": block.get("duplicates_n", len(duplicates)),
        "leaks": leaks,
        "why": block.get("not_doubted") or block.get("no_features"),
    }
