"""Turn whatever a label column holds into targets, and find the names of the classes and their order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import Dataset, IterableDataset

from hfft.data.audit import BadRow, Faults, Tally
from hfft.data.spec import Data
from hfft.data.splits import column as read_column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task
from hfft.wording import listing, nearest

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
NO_LABEL = "no label in column '{}' (None, NaN, -1 and '' count as none)"
OTHERS = "mend the split, or name the classes to keep in data.classes"


def encode(
    parts: dict[str, Dataset], columns: dict[str, str], data: Data, task: Task, faults: Faults
) -> tuple[dict[str, Dataset], Labels, list[str]]:
    """Each split with its label column replaced by `labels` and the number of each row in `row`, and what they mean.

    With `data.classes`, rows of other classes are left out. A validation or test split without labels is left out, with
    a note. So are rows of `faults`, to which those with a bad label are added.

    Raises:
        DataError: the labels of a whole split are not what the task says.
    """
    if not task.labelled:
        return {name: _numbered(rows) for name, rows in parts.items()}, Labels(task.problem), []
    column, notes = columns["label"], []
    values = {n: read_column(rows, column).to_pylist() if column in rows.features else [] for n, rows in parts.items()}
    for name in [n for n in values if n != "train" and all(map(_missing, values[n]))]:
        notes.append(f"split {name} carries no labels and is not scored")
        del values[name]
    for name, given in values.items():
        for i, value in enumerate(given):
            if _absent(value, task.problem):
                faults.add(name, i, BadRow(NO_LABEL.format(column)))
    gaps = {name: faults.rows(name) for name in values}
    present = [value for i, value in enumerate(values["train"]) if i not in gaps["train"]]
    if not present:
        faults.refuse()
    meaning, vectors = _meaning(parts["train"].features[column], present, task.problem, data.classes)
    encoded, trained = {}, set[Any]()
    for name, given in values.items():
        rows = parts[name]
        encoder = _encoder(rows.features[column], meaning, data.classes is not None, vectors)
        targets: list[Any] = [None] * len(given)
        for i, value in enumerate(given):
            if i in gaps[name]:
                continue
            try:
                targets[i] = encoder(value)
            except BadRow as bad:
                faults.add(name, i, bad)
        keep = [i for i, target in enumerate(targets) if target is not None]
        if not keep:
            faults.refuse()
            raise DataError(f"data.classes: no row of split {name} has one of {listing(meaning.names)}; name others")
        if name == "train":
            trained = _trained([targets[i] for i in keep], meaning)
        elif meaning.problem == SINGLE:
            for i in keep:
                if targets[i] not in trained:
                    faults.add(
                        name, i, BadRow("class {}, of which train has no row", meaning.names[targets[i]], OTHERS)
                    )
            keep = [i for i in keep if targets[i] in trained]
        rows = _numbered(rows.remove_columns([column]))
        # all rows get the column and then some are chosen: a column added to chosen rows would copy them
        rows = _with_column(rows, "labels", targets)
        encoded[name] = rows.select(keep) if len(keep) < len(rows) else rows
    return encoded, meaning, notes


def _numbered(rows: Dataset) -> Dataset:
    """The rows with each one's number in its split as `row`, for messages and predictions."""
    return _with_column(rows, "row", np.arange(len(rows)))


def _with_column(rows: Dataset, name: str, values: Any) -> Dataset:
    """The rows with one more column, as Arrow: of a list, datasets would pickle every value for its fingerprint."""
    return rows.add_column(name, pa.array(values))


def _trained(targets: list[Any], meaning: Labels) -> set[Any]:
    """The classes that train has rows of."""
    if meaning.problem != SINGLE:
        return set()
    found = set(targets)
    if len(found) < 2:
        names = listing(meaning.names[i] for i in found)
        raise DataError(f"the labels of train are all {names!r}; a classifier needs two classes or more")
    return found


def _absent(value: Any, problem: str) -> bool:
    """Whether there is no label: for a number to be predicted, -1 is one, and NaN is told with the other odd values."""
    return value is None or (problem != REGRESSION and _missing(value))


def _missing(value: Any) -> bool:
    """Whether there is no label: the ways in which files and hub data sets say so."""
    if isinstance(value, (list, tuple)):
        return any(map(_missing, value))
    if isinstance(value, str):
        return value.strip() in ("", "-1")
    return value is None or (isinstance(value, (int, float)) and (value == -1 or math.isnan(value)))


def _inner(feature: Any) -> Any:
    """The type of a label, or of each in a list of them."""
    return getattr(feature, "feature", feature)


def _meaning(feature: Any, values: Sequence[Any] | None, problem: str, wanted: list[str] | None) -> tuple[Labels, bool]:
    """The classes, from the feature's own names, the recipe, or the values; whether labels are vectors over them.

    Args:
        values: the labels of train; None for a stream.
    """
    listed = hasattr(feature, "feature")
    if problem == REGRESSION:
        size = (len(values[0]) if values else feature.length) if listed else 1
        return Labels(problem, (), max(size, 1)), False
    if listed != (problem == MULTI):
        raise DataError(
            f"labels are {'lists' if listed else 'single values'}; problem_type {problem} needs the other "
            f"(try problem_type={MULTI if listed else SINGLE})"
        )
    vectors = _vectors(feature, values, wanted) if listed else 0
    if vectors and len(wanted or ()) != vectors:
        raise DataError(
            f"labels are vectors of {vectors} zeros and ones, data.classes names {len(wanted or ())} classes; name all "
            f"{vectors}, in their order"
        )
    names = list(wanted or ())
    if isinstance(_inner(feature), datasets.ClassLabel):
        names = _chosen(wanted, list(_inner(feature).names))
    elif values is not None and not vectors:
        names = _chosen(wanted, _found(values, listed))
    if len(names) < 2 and problem == SINGLE:
        raise DataError(f"the labels of train are all {listing(names)!r}; a classifier needs two classes or more")
    return Labels.of(problem, names), bool(vectors)


def _chosen(wanted: list[str] | None, there: list[str]) -> list[str]:
    """The classes that are there, or those of them that are wanted."""
    for i, name in enumerate(wanted or ()):
        if name not in there:
            raise DataError(
                f"data.classes: no class {name!r} in the data{nearest(name, there)} (it has: {listing(there, 20)})"
            )
        if name in (wanted or ())[:i]:
            raise DataError(f"data.classes: {name!r} stands there twice; name each class once")
    return wanted or there


def _found(values: Sequence[Any], listed: bool) -> list[str]:
    """The classes that occur, in their order."""
    try:
        flat = {v for value in values for v in (value if listed else [value])}
    except TypeError:
        raise DataError(f"labels such as {values[0]!r:.80} are no classes; name another label column") from None
    if any(isinstance(v, float) and not v.is_integer() for v in flat):
        raise DataError("labels are fractions; for numbers to be predicted say problem_type=regression")
    if len(flat) > 1000 and len(flat) > len(values) / 2:
        raise DataError(f"{len(flat)} different labels in {len(values)} rows are no classes; name another label column")
    return [_name(v) for v in _ordered(flat)]


def _ordered(values: set[Any]) -> list[Any]:
    """Classes in their order: numbers by size, also where they are written as text, words by the alphabet."""
    try:
        return sorted(values, key=lambda v: (_number(v), str(v)))
    except (TypeError, ValueError):
        return sorted(values, key=str)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} has no place among numbers")
    return number


def _name(value: Any) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _vectors(feature: Any, values: Sequence[Any] | None, wanted: list[str] | None) -> int:
    """The length of labels that are vectors of 0 and 1, one place for each class; 0 where they list the classes.

    A list never names a class twice, so a repeated value tells; where none repeats, the names of the classes tell.
    """
    if isinstance(_inner(feature), datasets.ClassLabel):
        return 0
    named = bool(wanted) and not set(wanted or ()) <= {"0", "1"}
    if values is None:  # a stream, whose values are not known yet
        text = isinstance(_inner(feature), datasets.Value) and "string" in _inner(feature).dtype
        return len(wanted or ()) if named and not text and not all(map(str.isdigit, wanted or ())) else 0
    size = len(values[0])
    if size < 2 or not all(len(v) == size and set(v) <= {0, 1} for v in values):
        return 0
    repeated = any(len(set(v)) < size for v in values)
    return size if repeated or (named and size == len(wanted or ())) else 0


def _encoder(feature: Any, meaning: Labels, subset: bool, vectors: bool) -> Callable[[Any], Any]:
    """A function label -> target; None for a class that is left out, where only a `subset` is kept.

    It raises BadRow for what is no label.
    """
    if meaning.problem == REGRESSION:
        return lambda value: _numbers(value, meaning.size)
    if vectors:
        return lambda value: _vector(value, meaning.size)
    index = _indexer(feature, meaning, subset)
    if meaning.problem == SINGLE:
        return index

    def several(value: Any) -> list[float]:
        chosen = set(map(index, value))
        return [float(i in chosen) for i in range(meaning.size)]

    return several


def _indexer(feature: Any, meaning: Labels, subset: bool) -> Callable[[Any], int | None]:
    """A function class -> its index."""
    inner = _inner(feature)
    names = list(inner.names) if isinstance(inner, datasets.ClassLabel) else None
    index = meaning.label2id

    def find(value: Any) -> int | None:
        if names is not None:
            if not isinstance(value, int) or not 0 <= value < len(names):
                raise BadRow(f"label {{}} is out of range, expected 0 to {len(names) - 1}", value)
            value = names[value]
        name = _name(value)
        if name in index:
            return index[name]
        if subset:
            return None
        raise BadRow(f"class {{}} does not occur in train (train has: {listing(index, 20)})", name, OTHERS)

    return find


def _vector(value: Any, size: int) -> list[float]:
    if len(value) != size or not set(value) <= {0, 1}:
        raise BadRow(f"label {{}} is no vector of {size} zeros and ones", value)
    return [float(x) for x in value]


def _numbers(value: Any, size: int) -> list[float]:
    try:
        numbers = [float(x) for x in (value if isinstance(value, (list, tuple)) else [value])]
    except (TypeError, ValueError):
        numbers = [math.nan]
    if len(numbers) != size or not all(map(math.isfinite, numbers)):
        expected = "a finite number" if size == 1 else f"a list of {size} finite numbers"
        raise BadRow(f"label {{}} is not {expected}", value)
    return numbers


def encode_streams(
    parts: dict[str, IterableDataset], columns: dict[str, str], data: Data, task: Task, tallies: dict[str, Tally]
) -> tuple[dict[str, IterableDataset], Labels, list[str]]:
    """The same for streams, whose values cannot be looked through first: class names must be known beforehand.

    Rows are counted, and bad ones refused or left out, as they are read.

    Raises:
        DataError: neither the features nor `data.classes` name the classes.
    """
    if not task.labelled:
        counted = {name: rows.map(_counter(tallies[name]), with_indices=True) for name, rows in parts.items()}
        return counted, Labels(task.problem), []
    column, notes = columns["label"], []
    feature = (parts["train"].features or {})[column]
    if not (task.problem == REGRESSION or isinstance(_inner(feature), datasets.ClassLabel) or data.classes):
        raise DataError(f"column {column!r} of a streamed set does not name its classes; list them in data.classes")
    meaning, vectors = _meaning(feature, None, task.problem, data.classes)
    streams = {}
    for name, rows in parts.items():
        if name != "train" and _unlabelled(rows, column):
            notes.append(f"split {name} carries no labels and is not scored")
            continue
        encoder, tally = (
            _encoder((rows.features or {})[column], meaning, data.classes is not None, vectors),
            tallies[name],
        )

        def one(value: Any, row: int, encoder: Any = encoder, tally: Tally = tally) -> dict[str, Any]:
            tally.read()
            try:
                if _absent(value, task.problem):
                    raise BadRow(NO_LABEL.format(column))
                return {"labels": encoder(value), "row": row}
            except BadRow as bad:
                tally.skip(row, bad)
                return {"labels": None, "row": row}

        rows = rows.map(one, input_columns=[column], with_indices=True, remove_columns=[column])
        if data.classes or data.on_bad_rows == "skip":
            rows = rows.filter(lambda label: label is not None, input_columns=["labels"])
        streams[name] = rows
    return streams, meaning, notes


def _counter(tally: Tally) -> Callable[[dict[str, Any], int], dict[str, Any]]:
    def count(row: dict[str, Any], number: int) -> dict[str, Any]:
        tally.read()
        return {"row": number}

    return count


def _unlabelled(rows: IterableDataset, column: str) -> bool:
    """Whether the first rows of a stream have no labels."""
    if column not in (rows.features or {}):
        return True
    return all(_missing(row[column]) for row in rows.select_columns([column]).take(10))
