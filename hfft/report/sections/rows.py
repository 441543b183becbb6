"""Rows to look at: the most confident mistakes, the least sure, the most doubted labels."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record


def section(record: Record) -> dict[str, Any] | None:
    """The lists of rows.json; None where the report shows no rows."""
    if "error" in record.rows:
        return {"error": record.rows["error"], "lists": {}}
    lists = {title: [row | _defaults(row) for row in rows] for title, rows in record.rows.get("lists", {}).items()}
    return {"error": None, "lists": lists} if lists else None


def _defaults(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("true", "predicted", "confidence", "loss", "drawn_from", "image", "note", "texts", "tokens", "overlay")
    return {key: row.get(key) for key in keys}
