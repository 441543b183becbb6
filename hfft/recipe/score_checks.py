"""Checks of the section `score` beside the problem and the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.data.spec import NONE
from hfft.recipe.yaml_lines import Path
from hfft.tasks.measure import is_file
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def score_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Metrics of another problem, and rows to score that the problem or the data has no use for."""
    score, problem = recipe.score, PROBLEMS[recipe.problem]
    found: list[tuple[Path, str]] = [
        (
            ("score", "metrics", i),
            f"{metric!r} does not measure {recipe.problem}; choose from {listing(problem.metrics, 30)}",
        )
        for i, metric in enumerate(score.metrics)
        if metric not in problem.metrics and not is_file(metric) and not recipe.tasks
    ]
    if score.ood and not (recipe.the_task.labelled and problem.classes):
        found.append((("score", "ood"), f"needs one class a row, which {recipe.problem} does not have; leave it out"))
    for key in ("groups", "shift"):
        if getattr(score, key) and not recipe.the_task.labelled:
            found.append((("score", key), f"needs labels, which task {recipe.task} does not have; leave it out"))
        elif getattr(score, key) and recipe.data.streaming:
            found.append((("score", key), "needs stored rows; use data.streaming=false, or leave it out"))
    for name in set(score.ood) & set(score.shift):
        found.append((("score", "shift", name), "is also the name of a set in score.ood; choose another"))
    found += _attack_checks(recipe)
    why = None if score.calibrate == "none" else _not_calibrated(recipe)
    return found if why is None else [*found, (("score", "calibrate"), f"is {score.calibrate}, {why}")]


def _attack_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    asked, texts = recipe.score.attack, recipe.the_task.modality.tokens
    if recipe.the_task.modality.name not in ("image", "text"):
        rows = recipe.the_task.modality.plural
        why = f"changes pixels or words, which {rows} do not have; leave it out"
        return [(("score", "attack"), why)] if asked != type(asked)() else []  # a resolved recipe has the defaults
    if texts and asked.norm == "linf":
        text = "is linf, but changes of a text's embeddings are bounded by l2; leave it out"
        return [(("score", "attack", "norm"), text)]
    if not texts and asked.norm != "l2" and asked.radius is not None and asked.radius > 1:
        text = f"is {asked.radius:g}, but pixels are in [0, 1]; use at most 1, such as 8/255, or norm: l2"
        return [(("score", "attack", "radius"), text)]
    return []


def _not_calibrated(recipe: Recipe) -> str | None:
    """What a recipe lacks to calibrate probabilities: classes, stored validation rows, a last linear layer with a bias."""
    if not (recipe.the_task.labelled and PROBLEMS[recipe.problem].class_names):
        return f"which scales the probabilities of classes, but {recipe.problem} has none; leave it out"
    if recipe.data.validation == NONE:
        return "which is fitted on validation rows, but data.validation is none; name a split or a share"
    if recipe.data.streaming:
        return "which is fitted on stored validation rows; use data.streaming=false"
    if recipe.score.calibrate == "vector" and recipe.head.kind == "cosine":
        return "which shifts each class, but the head of kind cosine has no bias; use temperature"
    return None
