"""Checks of the further sets of rows beside the methods that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.recipe.yaml_lines import Path
from hfft.strategy.shift.target import TargetSpec

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def set_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Sets whose labels are given, but read by no method that adapts to them."""
    found: list[tuple[Path, str]] = []
    for key in type(recipe.strategy).model_fields:
        entry = getattr(recipe.strategy, key)
        read = recipe.data.sets.get(entry.on) if isinstance(entry, TargetSpec) else None
        if read is not None and read.labels != "none":
            text = f"is {read.labels}, but strategy.{key} never reads them; use none"
            found.append((("data", "sets", entry.on, "labels"), text))
    return found
