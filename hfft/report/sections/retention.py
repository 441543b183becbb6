"""What the fine-tune lost of what the model could do before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfft.report.record import Record

BLOCK, TITLE = "retention", "What is left of the old task"
KNOWN = {
    "before",
    "after",
    "split",
    "n",
    "seed",
    "seconds",
    "score_seconds",
    "why",
    "not_measured",
    "agreement",
    "divergence",
    "old_task",
}


def section(record: Record) -> dict[str, Any] | None:
    """The old task's figures before and after, and whatever else the block states."""
    block = record.block(BLOCK)
    if block is None:
        return None
    rows = [(name, block[name]) for name in ("before", "after") if isinstance(block.get(name), Mapping)]
    more = [(key.replace("_", " "), value) for key, value in block.items() if key not in KNOWN]
    rows += [(name, value) for name, value in more if isinstance(value, Mapping) and "value" in value]
    old = block.get("old_task")
    if isinstance(old, Mapping):
        rows = [(f"{name} ({old['path']}, {old['split']}, n {old['n']:,})", found) for name, found in rows]
    facts = [(name, value) for name, value in more if isinstance(value, str | int | float)]
    if "agreement" in block:
        said = f"divergence {block['divergence']:.4f}" if "divergence" in block else ""
        facts = [("answers of the old head unchanged on these rows", f"{block['agreement']:.1%}; {said}"), *facts]
    why = block.get("why") or block.get("not_measured")
    return {"title": TITLE, "block": block, "rows": rows, "facts": facts, "why": why}
