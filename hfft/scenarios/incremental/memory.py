"""A memory: a few labelled rows of earlier tasks, an ordinary data set in a folder, chosen by reservoir or by herding."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import Dataset, concatenate_datasets, load_from_disk

from hfft import data
from hfft.data.columns import inputs_of
from hfft.errors import BadInput
from hfft.predict import load_predictor
from hfft.recipe import Recipe
from hfft.scenarios.incremental.answers import answers
from hfft.scenarios.incremental.scored import accuracy, write_outputs
from hfft.tasks.labels import Labels

MEMORY = "memory"  # the folder of a memory, and the name of the set
RANK = "rank"  # column: place of a row among those of its class
LABEL = "label"  # column: name of the class


def reservoir(held: int, seen: int, new: int, capacity: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Which of the rows held so far stay, and which of the new ones come in: each row seen has the same chance (Vitter 1985).

    Args:
        held: rows in the memory.
        seen: rows that were offered to it before.
        new: rows that are offered now, in order.
    """
    places: list[tuple[bool, int]] = [(False, i) for i in range(held)]
    for i in range(new):
        if len(places) < capacity:
            places.append((True, i))
        elif (place := int(rng.integers(seen + i + 1))) < capacity:
            places[place] = (True, i)
    return [i for is_new, i in places if not is_new], [i for is_new, i in places if is_new]


def herding(features: np.ndarray, count: int) -> list[int]:
    """The rows `(n, D)` whose running mean stays nearest to the mean of all, best first (iCaRL; arXiv:1611.07725)."""
    x = normalised(features.astype(np.float64))
    mean, total, chosen = x.mean(0), np.zeros(x.shape[1]), list[int]()
    free = np.ones(len(x), bool)
    for k in range(min(count, len(x))):
        apart = np.linalg.norm(mean - (total + x) / (k + 1), axis=1)
        best = int(np.where(free, apart, np.inf).argmin())
        chosen.append(best)
        total, free[best] = total + x[best], False
    return chosen


def normalised(x: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def check_capacity(capacity: int, classes: int, how: str) -> None:
    """Raise BadInput if a memory cannot hold a row of each class, which herding promises."""
    if how == "herding" and capacity < classes:
        raise BadInput(
            f"memory: {capacity} rows cannot hold one of each of {classes} classes, as herding does; raise it, or use reservoir"
        )


def chosen_rows(
    how: str,
    capacity: int,
    seen: int,
    held: Dataset | None,
    features: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> tuple[list[int], list[int], list[int]]:
    """Which held rows stay, which new rows come in, and the rank of each of the latter.

    Args:
        how: `reservoir` or `herding`.
        seen: rows offered before.
        held: the memory so far.
        features, names: of the new rows: `(n, D)`, and their classes.
        classes: all classes so far.
    """
    before = 0 if held is None else len(held)
    if how == "reservoir":
        stay, come = reservoir(before, seen, len(names), capacity, np.random.default_rng((seed, seen)))
        return stay, come, [0] * len(come)
    check_capacity(capacity, len(classes), how)
    each = capacity // len(classes)
    stay = [] if held is None else [i for i, rank in enumerate(held[RANK]) if rank < each]
    come, ranks = list[int](), list[int]()
    for name in dict.fromkeys(names):
        own = np.array([i for i, other in enumerate(names) if other == name])
        best = herding(features[own], each)
        come += own[best].tolist()
        ranks += range(len(best))
    return stay, come, ranks


def memory_rows(rows: Dataset, columns: Mapping[str, str], more: Mapping[str, Any]) -> Dataset:
    """Rows of a split as those of a memory: the columns of the inputs, undecoded, and these others.

    Args:
        columns: role -> column.
        more: column -> values.
    """
    found = rows.select_columns(list(inputs_of(columns).values())).with_format(None)
    for name, values in more.items():
        found = found.add_column(name, list(values))
    return undecoded(found)


def undecoded(rows: Dataset) -> Dataset:
    """The rows with images as the bytes of their files."""
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def write_rows(rows: Dataset, path: Path) -> int:
    """Write a memory as a folder that `data.sets` reads, with the files of its images inside; returns its size in bytes."""
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image())
    shutil.rmtree(path, ignore_errors=True)
    rows.save_to_disk(path)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def fill(recipe: Recipe, capacity: int, how: str, before: str | None = None, by_means: bool = False) -> dict[str, Any]:
    """Put rows of a task into the memory, by the model that has just learned it; a child of a study.

    Args:
        recipe: of the task, with the finished model as its backbone.
        how: `reservoir` or `herding`.
        before: the child with the memory so far.
        by_means: also classify the test rows by the nearest mean of the memory's rows (iCaRL).

    Returns:
        `memory`: rows, bytes, rows of each class; `seen`: rows offered so far.
    """
    started = time.perf_counter()
    loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    predictor = load_predictor(recipe.backbone.name)
    held, seen = None, 0
    if before is not None:
        folder = recipe.output_dir.parent / before
        held = undecoded(load_from_disk(str(folder / MEMORY)))
        seen = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["seen"]
    rows: Any = loaded.train
    answered = answers(predictor, rows, loaded.columns)
    names = [labels.names[i] for i in answered.labels]
    stay, come, ranks = chosen_rows(how, capacity, seen, held, answered.features, names, labels.names, recipe.seed)
    more = {LABEL: [names[i] for i in come], RANK: ranks, "logits": answered.logits[come].tolist()}
    kept = memory_rows(rows.select(come), loaded.columns, more)
    if held is not None:
        kept = concatenate_datasets([held.select(stay), kept.cast(held.features)])
    size = write_rows(kept, recipe.output_dir / MEMORY)
    held_names = list(kept[LABEL])
    counts = {name: held_names.count(name) for name in labels.names}
    figures: dict[str, Any] = {
        "memory": {"rows": len(kept), "bytes": size, "classes": counts},
        "seen": seen + len(names),
        "labels": list(labels.names),
        "seed": recipe.seed,
    }
    if by_means:
        figures |= nearest_means(recipe, predictor, loaded, labels, kept)
    return figures | {"train": {"seconds": round(time.perf_counter() - started, 3)}}


def nearest_means(recipe: Recipe, predictor: Any, loaded: Any, labels: Labels, kept: Dataset) -> dict[str, Any]:
    """The test figures of the nearest mean of a memory's rows, whose outputs are written."""
    shown = kept
    for name, feature in kept.features.items():
        if isinstance(feature, datasets.Image):
            shown = shown.cast_column(name, datasets.Image())
    shown = shown.add_column("labels", [labels.label2id[name] for name in kept[LABEL]])
    found = answers(predictor, shown, loaded.columns)
    x = normalised(found.features)
    means = normalised(np.stack([x[found.labels == k].mean(0) for k in range(labels.size)]))
    test = answers(predictor, loaded.test, loaded.columns)
    apart = np.square(normalised(test.features)[:, None] - means[None]).sum(2)
    path = recipe.output_dir / "outputs" / "test.safetensors"
    write_outputs(path, -apart, test.labels, labels)
    return accuracy(path)
