"""Variants of a recipe that differ in one part, for comparison. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfft.recipe.recipe import Recipe


def without_cache(recipe: Recipe) -> Recipe:
    """The same recipe with nothing cached or skipped: every step computes the whole model."""
    return changed(recipe, layers={**recipe.resolved()["layers"], "cache": "off"})


def changed(recipe: Recipe, **sections: dict[str, Any]) -> Recipe:
    """The recipe with these sections in place of its own."""
    return Recipe.model_validate({**recipe.resolved(), **sections})


def choices(recipe: Recipe, blocks: int, bf16: bool, gpu: bool) -> Iterator[tuple[str, Recipe]]:
    """The alternatives worth comparing: fewer blocks, only the head, LoRA, and bfloat16 switched on, or off if it is on.

    Args:
        blocks: number of the model's blocks.
        bf16: whether the recipe uses it on this machine.
    """
    layers: list[dict[str, Any]] = [{"train": "all"}]
    if blocks > 1:
        layers.append({"train": f"last-{min(4, blocks // 2)}"})
    layers += [{"train": "head"}, {"adapter": {"type": "lora", "r": 8}}]
    if recipe.layers.adapter:
        layers.pop()
    else:
        layers = [choice for choice in layers if recipe.train_layers != [choice.get("train")]]
    for choice in layers:
        name = f"layers.train={choice['train']}" if "train" in choice else "layers.adapter={type: lora, r: 8}"
        yield name, changed(recipe, layers=choice)
    other = {"bf16": not bf16, "fp16": False, "use_cpu": not gpu}
    yield f"training.bf16={str(not bf16).lower()}", changed(recipe, training={**recipe.resolved()["training"], **other})
