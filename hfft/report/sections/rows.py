"""Rows to look at: the most confident mistakes, the least sure, the most doubted labels."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record

EXPLAINED = {
    "tokens": "Shaded by gradient times input: blue tokens speak for the predicted class, orange ones against it.",
    "overlay": "Orange: what the class token reads of each patch by attention rollout, whatever the class.",
}


def section(record: Record) -> dict[str, Any] | None:
    """The lists of rows.json; None where the report shows no rows."""
    if "error" in record.rows:
        return {"error": record.rows["error"], "lists": {}, "explained": ""}
    lists = {title: [row | _defaults(row) for row in rows] for title, rows in record.rows.get("lists", {}).items()}
    shown = [row for rows in lists.values() for row in rows]
    explained = next((said for key, said in EXPLAINED.items() if any(row[key] for row in shown)), "")
    return {"error": None, "lists": lists, "explained": explained} if lists else None


def _defaults(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("true", "predicted", "confidence", "loss", "drawn_from", "image", "note", "texts", "tokens", "overlay")
    return {key: row.get(key) for key in keys}
