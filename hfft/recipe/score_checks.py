"""Checks of `score.calibrate` that no single section can make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.data.spec import NONE
from hfft.recipe.yaml_lines import Path
from hfft.tasks.problem import PROBLEMS

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def score_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Whether the recipe has what probabilities are calibrated with: classes, stored validation rows, a last linear layer."""
    way = recipe.score.calibrate
    why = None if way == "none" else _not_calibrated(recipe)
    return [] if why is None else [(("score", "calibrate"), f"is {way}, {why}")]


def _not_calibrated(recipe: Recipe) -> str | None:
    if not (recipe.the_task.labelled and PROBLEMS[recipe.problem].class_names):
        return f"which scales the probabilities of classes, but {recipe.problem} has none; leave it out"
    if recipe.data.validation == NONE:
        return "which is fitted on validation rows, but data.validation is none; name a split or a share"
    if recipe.data.streaming:
        return "which is fitted on stored validation rows; use data.streaming=false"
    if recipe.score.calibrate == "vector" and recipe.head.kind == "cosine":
        return "which shifts each class, but the head of kind cosine has no bias; use temperature"
    return None
