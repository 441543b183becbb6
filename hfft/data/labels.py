"""Replace the label column of each split with targets, row by row."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import Dataset, IterableDataset

from hfft.data.audit import BadRow, Faults, Tally
from hfft.data.classes import check_listed, class_name, find_labels, inner_feature
from hfft.data.label_encoder import REMEDY, encoder_of
from hfft.data.label_notes import label_notes, one_hot_note, unlike
from hfft.data.label_texts import LabelTexts, label_texts
from hfft.data.spec import NONE, Data
from hfft.data.splits import column as read_column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import Task
from hfft.wording import listing

PEEK = 10  # rows of a stream that are looked at before it is read


def encode(
    parts: dict[str, Dataset],
    columns: dict[str, str],
    data: Data,
    task: Task,
    faults: Faults,
    joined: tuple[str, ...] = (),
) -> tuple[dict[str, Dataset], Labels, list[str]]:
    """Encode each split: `labels` replaces its label column, and `row` numbers its rows.

    With `data.classes`, rows of other classes are dropped. A validation or test split without labels is dropped with a
    note. Rows with a bad label are added to `faults`, and all rows in `faults` are dropped.

    Args:
        joined: the columns that were joined into the label's, one per class or number.

    Returns:
        The splits, the meaning of their labels, and notes for the user.

    Raises:
        DataError: the labels of a whole split do not fit the task.
    """
    if not task.labelled:
        return {name: _numbered(rows) for name, rows in parts.items()}, Labels(task.problem), []
    column, notes = columns["label"], list[str]()
    values = {n: read_column(rows, column).to_pylist() if column in rows.features else [] for n, rows in parts.items()}
    types = {name: rows.features.get(column) for name, rows in parts.items()}
    number = _is_class(types["train"], data, values["train"])
    none = _empty if number else _missing
    # of a label in several columns, some may be missing by mistake: all of them are in a split without labels
    hidden = (lambda cells: all(map(none, cells))) if joined else none
    for name in [n for n in values if n != "train" and all(map(hidden, values[n]))]:
        notes.append(f"split {name} has no labels and is not scored")
        del values[name]
    texts = label_texts(types["train"], values["train"], data, task.problem)
    if texts is not None:
        for name, given in values.items():
            notes += filter(None, [texts.note(name, given)])
            values[name], types[name] = _read(texts, given, name, faults), texts.feature
    if not joined:  # before missing labels are told: they may be lists without an item
        check_listed(types["train"], task.problem)
    for name, given in values.items():
        known = faults.rows(name)
        for i, value in enumerate(given):
            if i not in known and _absent(value, task.problem, number):
                faults.add(name, i, _no_label(value, column, number, joined))
    gaps = {name: faults.rows(name) for name in values}
    present = [value for i, value in enumerate(values["train"]) if i not in gaps["train"]]
    if not present:
        faults.refuse()
    meaning, vectors = find_labels(types["train"], present, task.problem, data.classes, joined)
    encoded, trained = {}, set[Any]()
    for name, given in values.items():
        rows = parts[name]
        apart = unlike(types["train"], types[name])
        encoder = encoder_of(types[name], meaning, data.classes is not None, vectors, joined, apart)
        targets: list[Any] = [None] * len(given)
        for i, value in enumerate(given):
            if i in gaps[name]:
                continue
            try:
                targets[i] = encoder(value)
            except BadRow as bad:
                faults.add(name, i, bad)
        keep = [i for i, target in enumerate(targets) if target is not None]
        if name == "train" and data.train_classes is not None:
            keep, note = _of_classes(targets, keep, data.train_classes, meaning)
            notes.append(note)
        if apart and PROBLEMS[meaning.problem].class_names:
            notes.append(f"split {name}, column {column!r}: train has {apart[2:]}; classes are compared by their names")
        if not keep:
            faults.refuse()
            raise DataError(
                f"data.classes: no row of split {name} belongs to {listing(meaning.names)}; name other classes"
            )
        if data.labels == NONE:
            trained = set(range(len(meaning.names)))
        elif name == "train":
            trained = _trained([targets[i] for i in keep], meaning, data.train_classes is not None)
        elif PROBLEMS[meaning.problem].classes:
            for i in keep:
                if targets[i] not in trained:
                    faults.add(name, i, BadRow("class {} has no row in train", meaning.names[targets[i]], REMEDY))
            keep = [i for i in keep if targets[i] in trained]
        rows = _numbered(rows.remove_columns([column]))
        # add the column to all rows before selecting: adding it to selected rows would copy them
        rows = _with_column(rows, "labels", targets)
        encoded[name] = rows.select(keep) if len(keep) < len(rows) else rows
    if vectors and not joined:
        notes += one_hot_note(present)
    elif not vectors:
        notes += label_notes(values["train"], faults.rows("train"), types["train"], meaning, column)
    return encoded, meaning, notes


def _read(texts: LabelTexts, given: list[Any], split: str, faults: Faults) -> list[Any]:
    """The labels of a split as lists; those that cannot be read are added to `faults`."""
    found: list[Any] = [None] * len(given)
    for i, value in enumerate(given):
        try:
            found[i] = texts(value)
        except BadRow as bad:
            faults.add(split, i, bad)
    return found


def _numbered(rows: Dataset) -> Dataset:
    """The rows, numbered within their split in a column `row`, for messages and predictions."""
    return _with_column(rows, "row", np.arange(len(rows)))


def _with_column(rows: Dataset, name: str, values: Any) -> Dataset:
    """The rows with one more column, as Arrow: datasets would pickle every value of a list for its fingerprint."""
    return rows.add_column(name, pa.array(values))


def _of_classes(targets: list[Any], keep: list[int], wanted: Sequence[str], meaning: Labels) -> tuple[list[int], str]:
    """Which of the rows `keep` of train have one of the wanted classes, and a line that says so.

    Raises:
        DataError: a row has no single class, or none has a wanted one.
    """
    if not PROBLEMS[meaning.problem].classes:
        raise DataError(f"data.train_classes: {meaning.problem} has no single class for each row; leave it out")
    chosen = {meaning.label2id[name] for name in wanted}
    found = [i for i in keep if targets[i] in chosen]
    absent = [name for name in wanted if meaning.label2id[name] not in {targets[i] for i in found}]
    if absent:
        raise DataError(f"data.train_classes: no row of train belongs to {listing(absent)}; name other classes")
    return found, (
        f"train: {len(found)} of {len(keep)} rows, those of {len(wanted)} of {meaning.size} classes (data.train_classes)"
    )


def _trained(targets: list[Any], meaning: Labels, some: bool = False) -> set[Any]:
    """The classes that held-out rows may have: those that occur in train, or all if it has only `some` on purpose."""
    if not PROBLEMS[meaning.problem].classes:
        return set()
    if some:
        return set(range(meaning.size))
    found = set(targets)
    if len(found) < 2:
        names = listing(meaning.names[i] for i in found)
        raise DataError(f"the labels of train are all {names!r}; a classifier needs two classes or more")
    return found


def _is_class(feature: Any, data: Data, values: Sequence[Any]) -> bool:
    """Whether -1 is a class of this column: a whole number of train among others, or named in `data.classes`.

    In data sets with named classes, in lists and among words it means `no label`.
    """
    if hasattr(feature, "feature") or isinstance(feature, datasets.ClassLabel):
        return False
    if data.classes is not None:
        return "-1" in data.classes
    names = {class_name(value).strip() for value in values if not _empty(value)}
    return "-1" in names and all(re.fullmatch(r"[-+]?\d+", name) for name in names)


def _no_label(value: Any, column: str, number: bool, joined: tuple[str, ...] = ()) -> BadRow:
    """The fault of a row that has no label."""
    if joined:  # name the column of the empty cell
        column = next((name for name, cell in zip(joined, value or (), strict=False) if _missing(cell)), column)
    return BadRow(f"no label in column {column!r} (None, NaN{'' if number else ', -1'} and '' count as none)")


def _absent(value: Any, problem: str, number: bool) -> bool:
    """Whether a row has no label. In regression -1 is a value, and NaN is reported with the other invalid values."""
    return value is None or (PROBLEMS[problem].class_names and (_empty if number else _missing)(value))


def _empty(value: Any) -> bool:
    """Whether a value is missing: None, NaN or a blank text, or a list with one of these."""
    if isinstance(value, (list, tuple)):
        return any(map(_empty, value))
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _missing(value: Any) -> bool:
    """Whether a value means `no label`, in any of the ways that files and data sets write it: missing, or -1."""
    if isinstance(value, (list, tuple)):
        return any(map(_missing, value))
    return _empty(value) or value == -1 or (isinstance(value, str) and value.strip() == "-1")


def encode_streams(
    parts: dict[str, IterableDataset],
    columns: dict[str, str],
    data: Data,
    task: Task,
    tallies: dict[str, Tally],
    joined: tuple[str, ...] = (),
) -> tuple[dict[str, IterableDataset], Labels, list[str]]:
    """Encode streams, whose values cannot be read in advance: the class names must be known beforehand.

    Rows are counted as they are read, and bad rows are refused or dropped then.

    Raises:
        DataError: neither the features nor `data.classes` name the classes.
    """
    if not task.labelled:
        counted = {name: rows.map(_counter(tallies[name]), with_indices=True) for name, rows in parts.items()}
        return counted, Labels(task.problem), []
    column, notes = columns["label"], list[str]()
    feature = (parts["train"].features or {})[column]
    named = isinstance(inner_feature(feature), datasets.ClassLabel) or data.classes or joined
    number = _is_class(feature, data, ())
    if PROBLEMS[task.problem].class_names and not named:
        raise DataError(f"column {column!r} of a streamed data set has no class names; list them in data.classes")
    texts = None
    if not joined:
        may_be_lists = PROBLEMS[task.problem].multi_label and data.label_sep is None
        first = _peek(parts["train"], column) if may_be_lists and isinstance(feature, datasets.Value) else []
        texts = label_texts(feature, first, data, task.problem)
    if texts is not None:
        feature = texts.feature
    meaning, vectors = find_labels(feature, None, task.problem, data.classes, joined)
    streams = {}
    for name, rows in parts.items():
        if name != "train" and _unlabelled(rows, column, number):
            notes.append(f"split {name} has no labels and is not scored")
            continue
        own = feature if texts is not None else (rows.features or {})[column]
        encoder = encoder_of(own, meaning, data.classes is not None, vectors, joined)
        tally = tallies[name]

        def one(value: Any, row: int, encoder: Any = encoder, tally: Tally = tally) -> dict[str, Any]:
            tally.read()
            try:
                value = value if texts is None else texts(value)
                if _absent(value, task.problem, number):
                    raise _no_label(value, column, number, joined)
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


def _peek(rows: IterableDataset, column: str) -> list[Any]:
    """The labels of the first rows of a stream."""
    return [row[column] for row in rows.select_columns([column]).take(PEEK)]


def _unlabelled(rows: IterableDataset, column: str, number: bool = False) -> bool:
    """Whether the first rows of a stream have no labels."""
    return column not in (rows.features or {}) or all(map(_empty if number else _missing, _peek(rows, column)))
