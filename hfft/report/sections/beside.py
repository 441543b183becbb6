"""The model beside what costs less: the majority class, and classifiers on the features it started from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfft.report.plot import Bar, bars
from hfft.report.record import Record

BLOCK, TITLE = "beside", "Beside simpler answers"
NAMES = {
    "majority": "the commonest class",
    "knn": "nearest neighbour at the start",
    "probe": "linear probe at the start",
    "directly": "the start used directly",
}


def section(record: Record) -> dict[str, Any] | None:
    """One row for each simpler answer: its figure, how much better this model is, and the test of the difference."""
    block = record.block(BLOCK)
    if block is None:
        return None
    differences, why = block.get("differences", {}), block.get("why", {})
    names = [name for name in NAMES if isinstance(block.get(name), Mapping) or name in why or name in differences]
    rows = [
        {
            "name": f"always {block['majority_class']}"
            if name == "majority" and "majority_class" in block
            else NAMES[name],
            "found": block.get(name),
            "difference": differences.get(name),
            "said": conclusion(differences.get(name)),
            "why": why.get(name),
        }
        for name in names
    ]
    own = (record.block("task") or {}).get("figures", {}).get("accuracy")
    shown = [("this model", own), *((row["name"], row["found"]) for row in rows)]
    given: list[Bar] = [(name, f["value"], f.get("low"), f.get("high")) for name, f in shown if isinstance(f, Mapping)]
    return {
        "title": TITLE,
        "block": block,
        "rows": rows,
        "own": own,
        "drawn": bars("accuracy", TITLE, given, "accuracy"),
    }


def conclusion(difference: Mapping[str, Any] | None) -> str:
    """Whether a difference with its interval says that this model is better; empty without one."""
    if difference is None or "low" not in difference:
        return ""
    if difference["low"] > 0:
        return "this model is better"
    return "this model is worse" if difference["high"] < 0 else "no difference is shown"
