"""The features of a recipe's rows by its pretrained model, computed once and stored beside the frozen cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfft import backbone, data
from hfft.backbone.pooling import fitting_pooling
from hfft.console import quiet_libraries
from hfft.data.load import Splits
from hfft.data.splits import column
from hfft.errors import BadInput
from hfft.features.cache import Chosen, opened_cache
from hfft.features.extract import check_finite, extract_views
from hfft.features.model import FeatureModel
from hfft.features.views import View
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Features:
    """The features of one split, with rows in the order of the data.

    Attributes:
        values: `(N, D)` float32.
        labels: `(N,)` int64 classes, `(N, C)` float32 for several targets or regression; None if there are none.
        ids: `(N,)` numbers of the rows in the split that they were read from.
        names: the classes in order; empty without classes.
        pooling, layer: as in `View`.
    """

    values: np.ndarray
    labels: np.ndarray | None
    ids: np.ndarray | None
    names: tuple[str, ...]
    pooling: str
    layer: int | str


def of_recipe(
    recipe: Recipe,
    splits: Sequence[str] = SPLITS,
    *,
    pooling: str | None = None,
    layer: int | str = -1,
    places: Mapping[str, np.ndarray] | None = None,
    loaded: tuple[Splits, Labels] | None = None,
) -> dict[str, Features]:
    """Split -> the features of its rows, not augmented; from disk where they were computed before.

    What is stored is found by the model's weights and the content of each row: other keys of the recipe, subsets and other
    divisions of the same rows compute nothing again.

    Args:
        splits: the splits wanted; those that the data lacks are left out. Also names of `data.sets`, whose rows have no labels.
        pooling: default: the recipe's `head.pooling`, or what the checkpoint was trained with.
        places: split -> the rows wanted of it, `(N,)`; default: all.
        layer: number of a hidden state, -1 the last, or the path of a module.
        loaded: the recipe's rows and their labels; default: they are read.

    Raises:
        BadInput: data, model, layer or pooling cannot be used.
        DataError: the features of a row are not finite.
    """
    return layers_of_recipe(recipe, [layer], splits, pooling=pooling, places=places, loaded=loaded)[layer]


def layers_of_recipe(
    recipe: Recipe,
    layers: Sequence[int | str],
    splits: Sequence[str] = SPLITS,
    *,
    pooling: str | None = None,
    places: Mapping[str, np.ndarray] | None = None,
    loaded: tuple[Splits, Labels] | None = None,
) -> dict[int | str, dict[str, Features]]:
    """Layer -> split -> features, as `of_recipe`, with all layers computed in one forward pass."""
    quiet_libraries()
    task = recipe.the_task
    if not task.labelled:
        raise BadInput(f"task: {recipe.task} has no classes; features are computed for tasks with labels")
    if recipe.data.streaming:
        raise BadInput("data.streaming: features are kept by row; use data.streaming=false")
    recipe = recipe.model_copy(update={"backbone": backbone.pinned(recipe.backbone)})
    processor = backbone.load_processor(recipe.backbone, task)
    plain = recipe.data.model_copy(update={"augment": []})
    read, labels = loaded or data.load_splits(plain, task, recipe.seed)
    chosen = pooling or recipe.head.pooling or fitting_pooling(recipe.backbone, task).pooling
    views = [View(chosen, layer) for layer in layers]
    model = FeatureModel(recipe, processor, labels, chosen)
    model.set_limit()
    prepared = data.prepare(read, plain, task, labels, processor, recipe.seed)
    rows = {"train": prepared.train, **dict(prepared.items())}
    sets = {name: one for name, one in recipe.data.sets.items() if name in splits}
    rows |= data.load_sets(
        sets, task, labels, processor, [], recipe.seed, prepared.on_device, render=recipe.data.render
    )
    wanted = [name for name in splits if name in rows]

    def computed(part: Any) -> list[np.ndarray]:
        return extract_views(model.loaded(), processor, part, task, views)

    chosen_rows = places or {}
    with opened_cache(model, views, recipe.layers.cache) as cache:
        found = {
            name: cache.features(Chosen(rows[name], chosen_rows[name]) if name in chosen_rows else rows[name], computed)
            for name in wanted
        }
    given = {name: part.select(chosen_rows[name]) if name in chosen_rows else part for name, part in read.items()}
    return {
        view.layer: {name: _features(found[name][i], given.get(name), labels, view, f"split {name}") for name in wanted}
        for i, view in enumerate(views)
    }


def _features(values: np.ndarray, rows: Any, labels: Labels, view: View, where: str) -> Features:
    ids: Any = np.arange(len(values)) if rows is None else column(rows, "row").to_numpy()
    check_finite(values, ids, where)
    targets = None
    if rows is not None and "labels" in rows.column_names:
        stored = column(rows, "labels")
        classes = PROBLEMS[labels.problem].classes
        targets = (
            stored.to_numpy().astype(np.int64)
            if classes
            else stored.combine_chunks().flatten().to_numpy().reshape(len(rows), -1).astype(np.float32)
        )
    return Features(values, targets, ids, labels.names, view.pooling, view.layer)
