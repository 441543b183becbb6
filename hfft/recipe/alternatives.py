"""Recipes that differ from one in a part: what else could be chosen. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfft.recipe.recipe import Recipe


def without_cache(recipe: Recipe) -> Recipe:
    """The same recipe, every step computed whole."""
    return changed(recipe, layers={**recipe.resolved()["layers"], "cache": "off"})


def changed(recipe: Recipe, **sections: dict[str, Any]) -> Recipe:
    """The recipe with these sections in the place of its own."""
    return Recipe.model_validate({**recipe.resolved(), **sections})


def choices(recipe: Recipe, blocks: int, bf16: bool, gpu: bool) -> Iterator[tuple[str, Recipe]]:
    """The alternatives that are worth a look: fewer blocks, the head alone, LoRA, bfloat16 where it is not on, else without.

    Args:
        blocks: of the model.
        bf16: whether the recipe uses it here.
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
