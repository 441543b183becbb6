"""Turn whatever a label column holds into targets, and find the names of the classes and their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
from datasets import Dataset, IterableDataset

from hfft.errors import DataError, listing, nearest
from hfft.recipe import Recipe
from hfft.tasks import Labels

if TYPE_CHECKING:
    from hfft.data.load import Splits

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


def encode(
    parts: dict[str, Dataset], columns: dict[str, str], recipe: Recipe
) -> tuple[dict[str, Dataset], Labels, list[str]]:
    """Each split with its label column replaced by `labels` and the number of each row in `row`, and what they mean.

    With `data.classes`, rows of other classes are left out. A validation or test split without labels is left out, with
    a note.

    Raises:
        DataError: see `load_splits`.
    """
    notes: list[str] = []
    if not recipe.the_task.labelled:
        return {n: _numbered(r, list(columns.values())) for n, r in parts.items()}, Labels(recipe.problem), notes
    column = columns["label"]
    values = {name: rows.with_format("arrow")[:][column].to_pylist() for name, rows in parts.items()}
    for name in [n for n in ("validation", "test") if n in parts]:
        if values[name] and all(_missing(v) for v in values[name]):
            notes.append(f"split {name} carries no labels and is not scored")
            del parts[name], values[name]
    for name, given in values.items():
        gaps = [i for i, v in enumerate(given) if (_missing(v) and recipe.problem != REGRESSION) or v is None]
        if gaps:
            raise DataError(
                f"split {name}: {len(gaps)} rows have no label in column {column!r} (rows {listing(gaps, 10)})"
            )
    seen = dict(values)
    meaning = _meaning(parts["train"].features[column], values["train"], recipe)
    encoded = {}
    for name, rows in parts.items():
        keep, targets = _targets(seen[name], rows.features[column], meaning, recipe, name)
        rows = _numbered(rows.remove_columns([column]), [c for role, c in columns.items() if role != "label"])
        if len(keep) < len(rows):  # before the column is added: adding to selected rows would copy them
            targets = _spread(targets, keep, len(rows))
        rows = rows.add_column("labels", targets)
        encoded[name] = rows.select(keep) if len(keep) < len(rows) else rows
    return encoded, meaning, notes


def _numbered(rows: Dataset, columns: list[str]) -> Dataset:
    """The rows with only these columns, and each one's number in its split as `row`, for messages and predictions."""
    rows = rows.select_columns(columns)
    return rows.add_column("row", list(range(len(rows))))


def _spread(targets: list[Any], keep: np.ndarray, size: int) -> list[Any]:
    full = [targets[0] if targets else 0] * size
    for i, target in zip(keep.tolist(), targets, strict=True):
        full[i] = target
    return full


def _missing(value: Any) -> bool:
    return value is None or (type(value) is int and value == -1)


def _meaning(feature: Any, values: Sequence[Any], recipe: Recipe) -> Labels:
    """The problem's classes, from the feature's own names, the recipe, or the values themselves."""
    problem, wanted = recipe.problem, recipe.data.classes
    if problem == REGRESSION:
        first = values[0] if values else 0.0
        return Labels(problem, (), len(first) if isinstance(first, (list, tuple)) else 1)
    inner = getattr(feature, "feature", feature)
    listed = any(isinstance(v, (list, tuple)) for v in values[:100])
    if listed != (problem == MULTI):
        hint = MULTI if listed else SINGLE
        raise DataError(
            f"labels are {'lists' if listed else 'single values'}; problem_type {problem} needs the other (try problem_type={hint})"
        )
    if wanted and listed and _multi_hot(values, len(wanted)):
        return Labels.of(problem, wanted)
    if isinstance(inner, datasets.ClassLabel):
        there = list(inner.names)
    else:
        flat = {v for value in values for v in (value if listed else [value])}
        if any(isinstance(v, float) and not v.is_integer() for v in flat):
            raise DataError("labels are fractions; for numbers to be predicted say problem_type=regression")
        if len(flat) > 1000 and len(flat) > len(values) / 2:
            raise DataError(
                f"{len(flat)} different labels in {len(values)} rows are no classes; name another label column"
            )
        there = [_name(v) for v in _ordered(flat)]
    for name in wanted or ():
        if name not in there:
            raise DataError(
                f"data.classes: no class {name!r} in the data{nearest(name, there)} (it has: {listing(there, 20)})"
            )
    names = list(wanted or there)
    if len(names) < 2 and problem == SINGLE:
        raise DataError(
            f"the labels of train are all {listing(names) or 'empty'}; a classifier needs two classes or more"
        )
    return Labels.of(problem, names)


def _ordered(values: set[Any]) -> list[Any]:
    """Classes in their order: numbers by size, also where they are written as text, words by the alphabet."""
    try:
        return sorted(values, key=float)
    except (TypeError, ValueError):
        return sorted(values, key=str)


def _name(value: Any) -> str:
    return (
        str(int(value)) if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _multi_hot(values: Sequence[Any], size: int) -> bool:
    return all(len(v) == size and set(v) <= {0, 1} for v in values)


def _targets(
    values: Sequence[Any], feature: Any, meaning: Labels, recipe: Recipe, split: str
) -> tuple[np.ndarray, list[Any]]:
    """Indices of the rows that stay, and their targets."""
    everything = np.arange(len(values))
    if meaning.problem == REGRESSION:
        return everything, [_numbers(v, meaning.size, split, i) for i, v in enumerate(values)]
    if meaning.problem == MULTI and _multi_hot(values, meaning.size) and recipe.data.classes:
        return everything, [[float(x) for x in v] for v in values]
    index = _indexer(feature, meaning, recipe, split)
    if meaning.problem == MULTI:
        found = [[j for x in v if (j := index(x, i)) is not None] for i, v in enumerate(values)]
        return everything, [[float(j in chosen) for j in range(meaning.size)] for chosen in map(set, found)]
    found_one = [index(v, i) for i, v in enumerate(values)]
    keep = np.array([i for i, j in enumerate(found_one) if j is not None], dtype=np.int64)
    return keep, [j for j in found_one if j is not None]


def _indexer(feature: Any, meaning: Labels, recipe: Recipe, split: str) -> Callable[[Any, int], int | None]:
    """A function (value, row) -> class index, None for a class that the recipe leaves out."""
    inner = getattr(feature, "feature", feature)
    names = list(inner.names) if isinstance(inner, datasets.ClassLabel) else None
    index, subset = meaning.label2id, recipe.data.classes is not None

    def find(value: Any, row: int) -> int | None:
        if names is not None:
            if not isinstance(value, int) or not 0 <= value < len(names):
                raise DataError(
                    f"split {split}, row {row}: label {value!r} is out of range; expected 0 to {len(names) - 1}"
                )
            value = names[value]
        name = _name(value)
        if name in index:
            return index[name]
        if subset:
            return None
        raise DataError(
            f"split {split}, row {row}: class {name!r} does not occur in train (train has: {listing(index, 20)}); "
            f"mend the split, or name the classes to keep in data.classes"
        )

    return find


def _numbers(value: Any, size: int, split: str, row: int) -> list[float]:
    try:
        numbers = [float(x) for x in (value if isinstance(value, (list, tuple)) else [value])]
    except (TypeError, ValueError):
        numbers = [float("nan")]
    if len(numbers) != size or not np.isfinite(numbers).all():
        raise DataError(
            f"split {split}, row {row}: label {value!r} is no finite number{'' if size == 1 else f' list of {size}'}"
        )
    return numbers


def check_counts(splits: Splits, meaning: Labels) -> None:
    """Raise DataError where a class is tested but never trained on."""
    if meaning.problem != SINGLE:
        return
    counts = {name: Counter(rows.with_format("arrow")[:]["labels"].to_pylist()) for name, rows in splits.items()}
    for name, count in counts.items():
        unseen = [meaning.names[i] for i in sorted(count) if not counts["train"][i]]
        if unseen:
            raise DataError(
                f"split {name} has rows of {listing(unseen)}, train has none; mend the splits, or name the classes to keep "
                f"in data.classes"
            )


def encode_streams(
    parts: dict[str, IterableDataset], columns: dict[str, str], recipe: Recipe
) -> tuple[dict[str, IterableDataset], Labels]:
    """The same for streams, whose values cannot be looked through first: class names must be known beforehand.

    Raises:
        DataError: neither the features nor `data.classes` name the classes.
    """
    if not recipe.the_task.labelled:
        return parts, Labels(recipe.problem)
    column = columns["label"]
    feature = (parts["train"].features or {}).get(column)
    inner = getattr(feature, "feature", feature)
    if recipe.problem == REGRESSION:
        meaning = Labels(recipe.problem, (), 1)
    elif isinstance(inner, datasets.ClassLabel):
        meaning = _meaning(feature, [[]] if recipe.problem == MULTI else [], recipe)
    elif recipe.data.classes:
        meaning = Labels.of(recipe.problem, recipe.data.classes)
    else:
        raise DataError(f"column {column!r} of a streamed set does not name its classes; list them in data.classes")
    streams = {}
    for name, rows in parts.items():

        def one(
            value: Any, row: int, feature: Any = (rows.features or {}).get(column), name: str = name
        ) -> dict[str, Any]:
            if value is None:
                raise DataError(f"split {name}, row {row}: no label in column {column!r}")
            keep, targets = _targets([value], feature, meaning, recipe, name)
            return {"labels": targets[0] if len(keep) else None, "row": row}

        rows = rows.map(one, input_columns=[column], with_indices=True, remove_columns=[column])
        if recipe.data.classes:
            rows = rows.filter(lambda label: label is not None, input_columns=["labels"])
        streams[name] = rows
    return streams, meaning
