"""Checks of where the labels of a recipe's rows come from, and of what needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.data.spec import NONE
from hfft.recipe.yaml_lines import Path
from hfft.strategy.build import build_methods
from hfft.tasks.problem import PROBLEMS

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def label_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Checks of columns of labels, of rows chosen by their class, and of training rows without labels."""
    return _several_checks(recipe) + _purpose_checks(recipe) + _unlabelled_checks(recipe)


def _several_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Ways of writing several labels a row, which need a problem with several."""
    data, target = recipe.data, PROBLEMS[recipe.problem]
    if not recipe.the_task.labelled:
        return []
    found: list[tuple[Path, str]] = []
    remedy = "use problem_type=multi_label_classification"
    if data.columns.several_labels and target.classes:
        text = f"names a column per class, but {recipe.problem} has one label a row; {remedy}, or name one column"
        found.append((("data", "columns", "label"), text))
    if data.label_sep is not None and not target.multi_label:
        text = f"separates the classes of a row, but {recipe.problem} has one label a row; {remedy}, or leave it out"
        found.append((("data", "label_sep"), text))
    elif data.label_sep is not None and data.columns.several_labels:
        found.append((("data", "label_sep"), "separates classes in one column, but each has its own; leave it out"))
    return found


def _purpose_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Rows chosen or changed by their class, which needs one class a row, and all rows."""
    found: list[tuple[Path, str]] = []
    for key in recipe.data.chosen_by_class:
        if not (recipe.the_task.labelled and PROBLEMS[recipe.problem].classes):
            found.append((("data", key), f"needs one class a row, which {recipe.problem} does not have; leave it out"))
        elif recipe.data.streaming:
            found.append((("data", key), "needs all rows, which a stream does not have; use data.streaming=false"))
    return found


def _unlabelled_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """What does not go with training rows whose labels are not read."""
    data = recipe.data
    if data.labels != NONE:
        return []
    here: Path = ("data", "labels")
    if not (recipe.the_task.labelled and PROBLEMS[recipe.problem].classes):
        return [(here, f"is for one class a row, which {recipe.problem} does not have; leave it out")]
    found: list[tuple[Path, str]] = []
    methods = build_methods(recipe.strategy)
    if recipe.use == "fine-tune" and not any("no_labels" in method.needs for method in methods):
        found.append((here, "is none, but strategy has nothing that learns without labels; add shot, or leave it out"))
    if recipe.use != "fine-tune":
        found.append((here, f"is none, but use: {recipe.use} reads labels; leave one of them out"))
    if data.streaming:
        found.append((here, "is none, which needs all rows; use data.streaming=false"))
    for part in ("validation", "test"):
        if isinstance(getattr(data, part), float):
            text = "is a share of rows without labels, which cannot be scored; name a split, or none"
            found.append((("data", part), text))
    for key in (*data.chosen_by_class, *(["fold"] if data.fold is not None else [])):
        found.append((("data", key), "chooses rows by their class, which data.labels=none does not read; leave it out"))
    if recipe.score.from_scratch:
        found.append(
            (("score", "from_scratch"), "learns from labels, which data.labels=none does not read; leave it out")
        )
    if recipe.training.get("label_smoothing_factor"):
        text = "smooths labels, which data.labels=none does not read; leave it out"
        found.append((("training", "label_smoothing_factor"), text))
    return found
