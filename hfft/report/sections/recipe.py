"""The recipe, with which the run can be repeated."""

from __future__ import annotations

from typing import Any

from hfft.report.record import Record


def section(record: Record) -> dict[str, Any] | None:
    """The text of recipe.yaml."""
    return {"text": record.recipe} if record.recipe else None
