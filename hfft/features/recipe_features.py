"""The features of a recipe's rows by its pretrained model, computed once and stored beside the frozen cache."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hfft import backbone, data
from hfft.backbone.pooling import fitting_pooling
from hfft.console import quiet_libraries
from hfft.data.row_keys import keys_of
from hfft.data.splits import column
from hfft.errors import BadInput
from hfft.features.extract import check_finite, extract_views
from hfft.features.model import FeatureModel
from hfft.features.store import FeatureStore
from hfft.features.views import View
from hfft.frozen_cache import folder
from hfft.frozen_cache.spec import FrozenCacheSpec
from hfft.processes import say
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import size_in_bytes

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
    recipe: Recipe, splits: Sequence[str] = SPLITS, *, pooling: str | None = None, layer: int | str = -1
) -> dict[str, Features]:
    """Split -> the features of its rows, not augmented; from disk where they were computed before.

    What is stored is found by the model's weights and the content of each row: other keys of the recipe, subsets and other
    divisions of the same rows compute nothing again.

    Args:
        splits: the splits wanted; those that the data lacks are left out.
        pooling: default: what the checkpoint was trained with.
        layer: number of a hidden state, -1 the last, or the path of a module.

    Raises:
        BadInput: data, model, layer or pooling cannot be used.
        DataError: the features of a row are not finite.
    """
    return layers_of_recipe(recipe, [layer], splits, pooling=pooling)[layer]


def layers_of_recipe(
    recipe: Recipe, layers: Sequence[int | str], splits: Sequence[str] = SPLITS, *, pooling: str | None = None
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
    loaded, labels = data.load_splits(plain, task, recipe.seed)
    chosen = pooling or fitting_pooling(recipe.backbone, task).pooling
    views = [View(chosen, layer) for layer in layers]
    model = FeatureModel(recipe, processor, labels, chosen)
    model.set_limit()
    prepared = data.prepare(loaded, plain, task, labels, processor, recipe.seed)
    rows = {"train": prepared.train, **dict(prepared.items())}
    wanted = [name for name in splits if name in rows]
    found = _found(model, processor, {name: rows[name] for name in wanted}, views, recipe)
    given = dict(loaded.items())
    return {
        view.layer: {name: _features(found[name][i], given[name], labels, view, f"split {name}") for name in wanted}
        for i, view in enumerate(views)
    }


def _features(values: np.ndarray, rows: Any, labels: Labels, view: View, where: str) -> Features:
    ids = column(rows, "row").to_numpy()
    check_finite(values, ids, where)
    targets = None
    if "labels" in rows.column_names:
        stored = column(rows, "labels")
        classes = PROBLEMS[labels.problem].classes
        targets = (
            stored.to_numpy().astype(np.int64)
            if classes
            else stored.combine_chunks().flatten().to_numpy().reshape(len(rows), -1).astype(np.float32)
        )
    return Features(values, targets, ids, labels.names, view.pooling, view.layer)


def _found(
    model: FeatureModel, processor: Any, rows: Mapping[str, Any], views: Sequence[View], recipe: Recipe
) -> dict[str, list[np.ndarray]]:
    """Split -> the features of each view: from the stores, or computed and stored."""

    def computed(part: Any) -> list[np.ndarray]:
        return extract_views(model.loaded(), processor, part, recipe.the_task, views)

    if recipe.layers.cache == "off":
        return {name: computed(part) for name, part in rows.items()}
    settings = recipe.layers.cache if isinstance(recipe.layers.cache, FrozenCacheSpec) else FrozenCacheSpec()
    root = Path(settings.dir).expanduser() if settings.dir else folder.root()
    limit = size_in_bytes(settings.limit)
    with contextlib.ExitStack() as open_stores:
        try:
            stores = [FeatureStore(root / model.key(view), model.note(view)) for view in views]
        except OSError as error:
            say(f"features: not stored, {root} cannot be written ({error.strerror})")
            return {name: computed(part) for name, part in rows.items()}
        for store in stores:
            open_stores.callback(store.close)
        found: dict[str, list[np.ndarray]] = {}
        for name, part in rows.items():
            keys = keys_of(part)
            there = [store.find(keys) for store in stores]
            if not all(known.all() for _, known in there):
                with contextlib.ExitStack() as alone:
                    for store in sorted(stores, key=lambda store: store.folder):
                        alone.enter_context(store.alone())
                    there = [store.find(keys) for store in stores]  # another process may have computed them
                    found[name] = _completed(there, keys, part, computed, stores, limit)
            else:
                found[name] = [values for values, _ in there if values is not None]
        return found


def _completed(
    there: Sequence[tuple[np.ndarray | None, np.ndarray]],
    keys: np.ndarray,
    rows: Any,
    computed: Any,
    stores: Sequence[FeatureStore],
    limit: int,
) -> list[np.ndarray]:
    """What is there, and the rest computed and stored; equal rows are computed once."""
    known = np.logical_and.reduce([mask for _, mask in there])
    missing = np.flatnonzero(~known)
    missing = np.sort(missing[np.unique(keys[missing], return_index=True)[1]])
    new = computed(Chosen(rows, missing)) if len(missing) else [np.empty((0, 0), np.float32) for _ in stores]
    order = np.argsort(keys[missing], kind="stable")
    found = []
    for (values, mask), fresh, store in zip(there, new, stores, strict=True):
        lacking = np.flatnonzero(~mask)
        if values is None:
            values = np.empty((len(keys), fresh.shape[1]), np.float32)
        if len(lacking):
            values[lacking] = fresh[order[np.searchsorted(keys[missing][order], keys[lacking])]]
            finite = np.isfinite(fresh).all(1)  # others are refused, and would be every time
            if (refused := store.add(keys[missing][finite], fresh[finite], limit)) is not None:
                say(f"features: not stored, {refused}")
        found.append(values)
    return found


class Chosen:
    """Some rows of a prepared split, `(N,)` by number, which are fetched as the whole split is."""

    def __init__(self, rows: Any, numbers: np.ndarray):
        self.rows, self.numbers = rows, numbers
        if hasattr(rows, "lengths"):
            self.lengths = rows.lengths[numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitems__(self, indices: Sequence[int]) -> Any:
        return self.rows.__getitems__(self.numbers[list(indices)].tolist())
