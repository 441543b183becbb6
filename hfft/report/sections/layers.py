"""Which layers learned at which rates, from the input on; similar neighbouring blocks share a line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from hfft.layers.parameter_groups import part, places, rates
from hfft.report.numbers import number
from hfft.report.record import Record

SCHEDULED = {"begins": "begins", "relative_gradient": "relative gradient"}  # columns that a schedule adds
FROZEN = {"tensors": 0, "moved": [], "live": 0, "waited": 0, "early": []}


def section(record: Record) -> dict[str, Any] | None:
    """The lines of the table, and the check of the frozen tensors.

    `frozen` contains `tensors`, the number of frozen tensors, and `moved`, the names of those that differ from their loaded
    values; with a schedule, `waited` and `early`, the same for tensors that were frozen until their turn; and `live`, the
    number of statistics of frozen norms that were still updated.
    """
    if not record.layers:
        return None
    columns = {key: title for key, title in SCHEDULED.items() if any(key in row for row in record.layers)}
    total, learning = (sum(row[key] for row in record.layers) for key in ("parameters", "learning"))
    return {
        "titles": list(columns.values()),
        "lines": [line(rows, list(columns)) for rows in alike(record.layers, list(columns))],
        "total": total,
        "learning": learning,
        "frozen": FROZEN | (record.metrics.get("frozen") or {}),
    }


def alike(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Neighbouring blocks with the same sizes and rates, grouped."""
    same = itemgetter("lr", "weight_decay", "tensors", "parameters", "learning", *columns)
    groups = groupby(rows, key=lambda row: (row["layer"].startswith("block") or row["layer"], rates(row), same(row)))
    return [list(group) for _, group in groups]


def line(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    """One line of the table for a group of similar layers."""
    first, *others = rows
    tensors, count, learning, share = (
        sum(row[key] for row in rows) for key in ("tensors", "parameters", "learning", "share")
    )
    depth = f"{first['depth']}–{others[-1]['depth']}" if others else str(first["depth"])
    return {
        "depth": depth,
        "layer": f"blocks {depth}" if others else first["layer"],
        "places": places(rows),
        "learns": "no" if not learning else "yes" if learning == count else part(learning / count),
        "scheduled": [number(v) if isinstance(v := first[key], float) else v or "–" for key in columns],
        "rate": rates(first, "–"),
        "decay": "–" if first["weight_decay"] is None else f"{first['weight_decay']:g}",
        "tensors": tensors,
        "parameters": count,
        "share": share,
    }
