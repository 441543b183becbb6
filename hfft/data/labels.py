"""Replace the label column of each split with targets, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import Dataset, IterableDataset

from hfft.data.audit import BadRow, Faults, Tally
from hfft.data.classes import find_labels, inner_feature
from hfft.data.label_encoder import REMEDY, encoder_of
from hfft.data.spec import Data
from hfft.data.splits import column as read_column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import Task
from hfft.wording import listing

NO_LABEL = "no label in column '{}' (None, NaN, -1 and '' count as none)"


def encode(
    parts: dict[str, Dataset], columns: dict[str, str], data: Data, task: Task, faults: Faults
) -> tuple[dict[str, Dataset], Labels, list[str]]:
    """Encode each split: `labels` replaces its label column, and `row` numbers its rows.

    With `data.classes`, rows of other classes are dropped. A validation or test split without labels is dropped with a
    note. Rows with a bad label are added to `faults`, and all rows in `faults` are dropped.

    Returns:
        The splits, the meaning of their labels, and notes for the user.

    Raises:
        DataError: the labels of a whole split do not fit the task.
    """
    if not task.labelled:
        return {name: _numbered(rows) for name, rows in parts.items()}, Labels(task.problem), []
    column, notes = columns["label"], []
    values = {n: read_column(rows, column).to_pylist() if column in rows.features else [] for n, rows in parts.items()}
    for name in [n for n in values if n != "train" and all(map(_missing, values[n]))]:
        notes.append(f"split {name} has no labels and is not scored")
        del values[name]
    for name, given in values.items():
        for i, value in enumerate(given):
            if _absent(value, task.problem):
                faults.add(name, i, BadRow(NO_LABEL.format(column)))
    gaps = {name: faults.rows(name) for name in values}
    present = [value for i, value in enumerate(values["train"]) if i not in gaps["train"]]
    if not present:
        faults.refuse()
    meaning, vectors = find_labels(parts["train"].features[column], present, task.problem, data.classes)
    encoded, trained = {}, set[Any]()
    for name, given in values.items():
        rows = parts[name]
        encoder = encoder_of(rows.features[column], meaning, data.classes is not None, vectors)
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
            raise DataError(
                f"data.classes: no row of split {name} belongs to {listing(meaning.names)}; name other classes"
            )
        if name == "train":
            trained = _trained([targets[i] for i in keep], meaning)
        elif PROBLEMS[meaning.problem].classes:
            for i in keep:
                if targets[i] not in trained:
                    faults.add(name, i, BadRow("class {} has no row in train", meaning.names[targets[i]], REMEDY))
            keep = [i for i in keep if targets[i] in trained]
        rows = _numbered(rows.remove_columns([column]))
        # add the column to all rows before selecting: adding it to selected rows would copy them
        rows = _with_column(rows, "labels", targets)
        encoded[name] = rows.select(keep) if len(keep) < len(rows) else rows
    return encoded, meaning, notes


def _numbered(rows: Dataset) -> Dataset:
    """The rows, numbered within their split in a column `row`, for messages and predictions."""
    return _with_column(rows, "row", np.arange(len(rows)))


def _with_column(rows: Dataset, name: str, values: Any) -> Dataset:
    """The rows with one more column, as Arrow: datasets would pickle every value of a list for its fingerprint."""
    return rows.add_column(name, pa.array(values))


def _trained(targets: list[Any], meaning: Labels) -> set[Any]:
    """The classes that occur in train."""
    if not PROBLEMS[meaning.problem].classes:
        return set()
    found = set(targets)
    if len(found) < 2:
        names = listing(meaning.names[i] for i in found)
        raise DataError(f"the labels of train are all {names!r}; a classifier needs two classes or more")
    return found


def _absent(value: Any, problem: str) -> bool:
    """Whether a row has no label. In regression -1 is a value, and NaN is reported with the other invalid values."""
    return value is None or (PROBLEMS[problem].class_names and _missing(value))


def _missing(value: Any) -> bool:
    """Whether a value means `no label`, in any of the ways that files and data sets write it."""
    if isinstance(value, (list, tuple)):
        return any(map(_missing, value))
    if isinstance(value, str):
        return value.strip() in ("", "-1")
    return value is None or (isinstance(value, (int, float)) and (value == -1 or math.isnan(value)))


def encode_streams(
    parts: dict[str, IterableDataset], columns: dict[str, str], data: Data, task: Task, tallies: dict[str, Tally]
) -> tuple[dict[str, IterableDataset], Labels, list[str]]:
    """Encode streams, whose values cannot be read in advance: the class names must be known beforehand.

    Rows are counted as they are read, and bad rows are refused or dropped then.

    Raises:
        DataError: neither the features nor `data.classes` name the classes.
    """
    if not task.labelled:
        counted = {name: rows.map(_counter(tallies[name]), with_indices=True) for name, rows in parts.items()}
        return counted, Labels(task.problem), []
    column, notes = columns["label"], []
    feature = (parts["train"].features or {})[column]
    named = isinstance(inner_feature(feature), datasets.ClassLabel) or data.classes
    if PROBLEMS[task.problem].class_names and not named:
        raise DataError(f"column {column!r} of a streamed data set has no class names; list them in data.classes")
    meaning, vectors = find_labels(feature, None, task.problem, data.classes)
    streams = {}
    for name, rows in parts.items():
        if name != "train" and _unlabelled(rows, column):
            notes.append(f"split {name} has no labels and is not scored")
            continue
        encoder, tally = (
            encoder_of((rows.features or {})[column], meaning, data.classes is not None, vectors),
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
