"""Checks of `backbone.cross_modal` against the rest of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.recipe.yaml_lines import Path

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def cross_modal_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """What a text transformer that reads another kind of input cannot be combined with."""
    if recipe.backbone.cross_modal is None:
        return []
    found: list[tuple[Path, str]] = []
    cross, series = recipe.backbone.cross_modal, recipe.the_task.modality.input_name == "past_values"
    if series != (cross.length is not None):
        text = "is for series; leave it out" if not series else "is not set; give the time steps of a series"
        found.append((("backbone", "cross_modal", "length"), text))
    if not series and cross.channels not in (1, 3):
        found.append((("backbone", "cross_modal", "channels"), f"is {cross.channels}; images have 1 (grey) or 3 (RGB)"))
    if recipe.the_task.modality.tokens:
        text = f"is for other inputs than texts, which task {recipe.task} takes; leave it out"
        found.append((("backbone", "cross_modal"), text))
    if recipe.head.keep_known:
        text = "needs a head for this task, but a text transformer has none; leave it out"
        found.append((("head", "keep_known"), text))
    for i, edit in enumerate(recipe.backbone.edit):
        if kind := next((key for key in ("image_size", "channels", "tokens") if key in edit), None):
            text = f"is {kind}, but backbone.cross_modal makes the input layer; set it there"
            found.append((("backbone", "edit", i), text))
    return found
