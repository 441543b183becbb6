"""Parts of a whole recipe, for tests that have one at hand."""

from __future__ import annotations

from typing import Any

from hfft import backbone, data
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels


def model_of(recipe: Recipe, labels: Labels, processor: Any = None) -> Any:
    """The model that a recipe names."""
    return backbone.load_model(recipe.backbone, recipe.head, recipe.the_task, labels, processor)


def splits_of(recipe: Recipe) -> tuple[data.Splits, Labels]:
    """The data that a recipe names."""
    return data.load_splits(recipe.data, recipe.the_task, recipe.seed)


def prepared_of(splits: data.Splits, recipe: Recipe, labels: Labels, processor: Any) -> data.Prepared:
    """The inputs of a recipe's splits."""
    return data.prepare(splits, recipe.data, recipe.the_task, labels, processor, recipe.seed)


def meta_model_of(recipe: Recipe, processor: Any = None) -> Any:
    """The model of a recipe without weights."""
    return backbone.build_meta_model(recipe.backbone, recipe.head, recipe.the_task, processor)
