"""The rows of new classes, and the data set that a model is extended on: one folder, read as any other."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, concatenate_datasets

from hfft.data import columns, splits
from hfft.data.classes import class_name
from hfft.data.columns import inputs_of
from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.errors import BadInput, DataError
from hfft.scenarios.incremental.memory import LABEL, memory_rows
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task
from hfft.wording import listing

HELD_OUT = 0.2  # share of the new rows that are scored, where the data has no test split


def read_new(data: Data, task: Task, old_columns: Mapping[str, str] | None = None) -> dict[str, Dataset]:
    """`train` and, if the data has it, `test`: the new rows with the inputs in the run's columns and the class as text.

    Args:
        old_columns: role -> column, of the run; default: as they are called in the data.

    Raises:
        DataError: a column is missing, or a row has no label.
    """
    raw = load_raw(data).splits
    train, _, test = splits.choose(list(raw), data.model_copy(update={"validation": "none"}))
    found = {}
    for split, name in (("train", train), ("test", test)):
        if not isinstance(name, str):
            continue
        rows = cast(Dataset, columns.typed(raw[name]))
        roles = columns.find(rows, data, task)
        old_columns = roles if old_columns is None else old_columns
        missing = [role for role in inputs_of(old_columns) if role not in roles]
        if missing:
            raise DataError(f"data.columns.{missing[0]}: the run reads one, but {data.path} has none; name its column")
        names = labels_of(rows, roles["label"], name)
        rows = columns.read(rows, roles, data, task, split, name)
        rows = memory_rows(cast(Dataset, rows), roles, {})
        for role, column in inputs_of(roles).items():
            if column != old_columns[role]:
                rows = rows.rename_column(column, old_columns[role])
        found[split] = rows.add_column(LABEL, names)
    return found


def labels_of(rows: Dataset, column: str, split: str) -> list[str]:
    """The class of each row as text.

    Raises:
        DataError: a row has none.
    """
    feature = rows.features[column]
    found = []
    for i, value in enumerate(splits.column(rows, column).to_pylist()):
        if value is None or (isinstance(value, str) and not value.strip()) or isinstance(value, list):
            raise DataError(f"split {split}, row {i}: no single class in column {column!r}; fix or drop it")
        found.append(class_name(feature.int2str(value) if isinstance(feature, ClassLabel) else value))
    return found


def new_classes(found: Mapping[str, Dataset], known: Sequence[str], run: str) -> list[str]:
    """The classes of the new training rows that the model does not know, in the order of their first rows.

    Raises:
        BadInput: it knows all of them, or one has too few rows, or a test row has a class that neither knows.
    """
    train = list(found["train"][LABEL])
    new = [name for name in dict.fromkeys(train) if name not in known]
    if not new:
        raise BadInput(
            f"data: {run} knows every class of the new rows ({listing(dict.fromkeys(train))}); "
            f"to train it further, use hfft train with backbone.name={run} head.keep_known=true"
        )
    few = [name for name in new if train.count(name) < 2]
    if few:
        raise BadInput(
            f"data: class {few[0]!r} has a single row; add rows, so that some can be learned and some scored"
        )
    strange = [
        name for name in dict.fromkeys(found["test"][LABEL] if "test" in found else ()) if name not in (*known, *new)
    ]
    if strange:
        raise BadInput(f"data: class {strange[0]!r} has test rows but no training row; add some, or leave it out")
    return new


def with_test(found: Mapping[str, Dataset], share: float, seed: int, problem: str) -> dict[str, Dataset]:
    """The new rows with a share of them set aside as `test` where there is none, stratified."""
    if "test" in found:
        return dict(found)
    names = list(dict.fromkeys(found["train"][LABEL]))
    index = {name: i for i, name in enumerate(names)}
    numbered = found["train"].add_column("labels", [index[name] for name in found["train"][LABEL]])
    parts = splits.set_aside(numbered, {"test": share}, Labels.of(problem, names), seed)
    return {name: rows.remove_columns(["labels"]) for name, rows in parts.items()}


def old_rows(rows: Any, old_columns: Mapping[str, str], labels: Labels) -> Dataset:
    """The rows of a split of the run's own data, in the same form."""
    names = [labels.names[i] for i in splits.column(rows, "labels").to_pylist()]
    return memory_rows(rows, old_columns, {LABEL: names})


def joined(parts: Sequence[Dataset]) -> Dataset:
    """The rows of several parts in turn, with the types of the first."""
    return concatenate_datasets(
        [parts[0], *(part.select_columns(parts[0].column_names).cast(parts[0].features) for part in parts[1:])]
    )


def write_data(parts: Mapping[str, Dataset], classes: Sequence[str], path: Path) -> None:
    """Write the splits as a folder that `data.path` reads, in which every split knows all classes by name."""
    written = {}
    for name, rows in parts.items():
        for column, feature in rows.features.items():
            if isinstance(feature, datasets.Image):
                rows = rows.cast_column(column, datasets.Image())
        numbers = np.array([classes.index(value) for value in rows[LABEL]])
        rows = rows.remove_columns([LABEL]).add_column(LABEL, numbers)
        written[name] = rows.cast_column(LABEL, ClassLabel(names=list(classes)))
    shutil.rmtree(path, ignore_errors=True)
    DatasetDict(written).save_to_disk(path)
