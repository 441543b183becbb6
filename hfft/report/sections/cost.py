"""What the finished model costs: parameters, size, time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfft.report.numbers import number, with_interval
from hfft.report.record import Record

BLOCK, TITLE = "cost", "Cost"
NAMES = {
    "parameters": "parameters",
    "trainable": "of which were trained",
    "bytes": "size of the weights",
    "latency_ms": "latency, batch of 1",
    "rows_per_second": "throughput",
    "joules_per_1000_rows": "energy for 1,000 rows, of the whole device",
    "peak_mib": "peak memory",
    "batch": "rows at once, of the throughput",
    "device": "device",
    "steps": "training steps",
}


def section(record: Record) -> dict[str, Any] | None:
    """Term and value of each known figure; others under their own names."""
    block = record.block(BLOCK)
    if block is None:
        return None
    names = [*(name for name in NAMES if name in block), *(name for name in block if name not in NAMES)]
    facts = [
        (NAMES.get(name, name.replace("_", " ")), shown(name, block[name]))
        for name in names
        if name not in ("split", "n", "seed", "seconds", "full", "score_seconds") and block[name] is not None
    ]
    return {"title": TITLE, "facts": [(name, value) for name, value in facts if value]}


def shown(name: str, value: Any) -> str:
    """A figure with its unit; empty for what is no figure."""
    if isinstance(value, Mapping):
        value = {**value} if "value" in value else ""
    units = {"latency_ms": "ms", "rows_per_second": "rows a second", "peak_mib": "MiB", "joules_per_1000_rows": "J"}
    if name == "bytes" and isinstance(value, int | float):
        return f"{value / 2**20:,.1f} MiB"
    if isinstance(value, int | float) and not isinstance(value, bool):
        said = f"{value:,.1f}" if name in units and abs(value) >= 1 else number(value)
    else:
        said = with_interval(value) if isinstance(value, Mapping) else value if isinstance(value, str) else ""
    return f"{said} {units[name]}" if said and name in units else said
