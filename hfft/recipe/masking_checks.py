"""Checks of how tokens and patches are masked, and of what a task does not have that makes its targets from its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.recipe.yaml_lines import Path
from hfft.strategy.build import build_methods
from hfft.tasks.problem import MaskedPatches

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def masking_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Keys of another kind of masking, and of a new head."""
    data, task, images = recipe.data, recipe.task, recipe.problem == MaskedPatches.name
    found: list[tuple[Path, str]] = []
    for key in ("mask_ratio", "mask_patch_size"):
        if getattr(data, key) is not None and not images:
            found.append((("data", key), f"is for masked-image-modeling, not for task {task}; leave it out"))
    if images and data.mlm_probability != type(data).model_fields["mlm_probability"].default:
        found.append((("data", "mlm_probability"), f"is for fill-mask, not for task {task}; use data.mask_ratio"))
    if recipe.published_as == "adapter" and not recipe.the_task.labelled:
        text = f"is adapter, but a model of task {task} is read by its whole weights; use merged, with an adapter that merges"
        found.append((("publish", "as"), text))
    return found + _without_classes(recipe) if images else found


def _without_classes(recipe: Recipe) -> list[tuple[Path, str]]:
    """What masked images have no use for."""
    found: list[tuple[Path, str]] = []
    if recipe.head.init == "zeros":
        found.append((("head", "init"), f"is zeros, but task {recipe.task} has no new layer of classes; leave it out"))
    if recipe.data.classes is not None:
        found.append((("data", "classes"), f"names classes, but task {recipe.task} reads no labels; leave it out"))
    if recipe.data.sets:
        found.append((("data", "sets"), f"has rows that nothing masks for task {recipe.task}; leave it out"))
    for method in build_methods(recipe.strategy):
        if "teacher" in method.needs:
            found.append(
                (("strategy", method.name), f"compares classes, which task {recipe.task} has not; leave it out")
            )
        elif method.attacks or "pixels" in method.needs:
            text = f"changes the pixels that task {recipe.task} completes; leave it out"
            found.append((("strategy", method.name), text))
    return found
