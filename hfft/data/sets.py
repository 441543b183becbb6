"""Further rows besides the task's, for methods that read them: prepared like training rows, unlabelled unless asked otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.fingerprint import Hasher

from hfft.data import columns
from hfft.data.augment.grammar import columns_read
from hfft.data.classes import class_name
from hfft.data.inputs import VERSION
from hfft.data.render_spec import Render
from hfft.data.set_checks import content_notes, label_notes
from hfft.data.source import load_raw
from hfft.data.spec import DataSet, FurtherRows
from hfft.data.splits import column as read_column
from hfft.errors import DataError
from hfft.processes import say
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import Task
from hfft.wording import listing, nearest

LOGITS = "logits"  # column of a memory: what a model answered to each row when it was stored


def load_sets(
    specs: Mapping[str, DataSet],
    task: Task,
    labels: Labels,
    processor: Any,
    augment: Sequence[Any],
    seed: int,
    on_device: Any = None,
    views: Mapping[str, Sequence[Any]] | None = None,
    train: np.ndarray | None = None,
    render: Render | None = None,
) -> dict[str, Any]:
    """Name -> rows of each further set, ready to be collated with the task's.

    Args:
        augment: augmentation of the training rows.
        on_device: preprocessing of the training rows on the device.
        views: name -> operations of `augment` by which methods draw further views of its rows.
        train: digests of the training rows, to tell which rows of a set they are; 0 where they are not read.
        render: how texts or sounds are drawn, as those of the task are.

    Raises:
        DataError: a split or column does not exist, there are no rows, or one cannot be read.
        BadInput, HubError: the data does not exist or cannot be reached.
    """
    found: dict[str, Any] = {}
    inputs = task.modality.inputs
    for name, spec in specs.items():
        beside = columns_read([*augment, *(views or {}).get(name, ())])
        rows, roles = rows_of(f"data.sets.{name}", spec, task, labels, tuple(beside), render)
        repeated = train if spec.labels == "none" else None  # a memory may repeat what is learned again
        for note in content_notes(f"data.sets.{name}", rows, roles, inputs, repeated):
            say(note)
        step = inputs.step(processor, roles, name, seed, augment, on_device)
        answers = read_column(rows, LOGITS).to_pylist() if LOGITS in rows.features else None
        rows = rows.remove_columns([LOGITS]) if answers is not None else rows
        found[name] = inputs.rows(rows, step, Hasher.hash((VERSION, processor, roles, "set")))
        if answers is not None:
            found[name].stored_logits = answers
    return found


def rows_of(
    key: str,
    spec: FurtherRows,
    task: Task,
    labels: Labels,
    beside: tuple[str, ...] = (),
    render: Render | None = None,
) -> tuple[Dataset, dict[str, str]]:
    """The rows of a set with row numbers and `labels`, and role -> column.

    Labels are zeros unless they are given; then a column `logits` stays as well.

    Args:
        key: where the recipe names the set, for messages.
        beside: columns that augmentation reads.
        render: how texts or sounds are drawn.

    Raises:
        DataError: a split or column does not exist, or there are no rows.
        BadInput, HubError: the data does not exist or cannot be reached.
    """
    data = spec.data(render=render)
    given = load_raw(data)
    raw = given.splits
    for note in given.notes:
        say(f"{key}: {note}")
    if spec.split not in raw:
        raise DataError(
            f"{key}.split: no split {spec.split!r}{nearest(spec.split, raw)} ({spec.path} has: {listing(raw)})"
        )
    rows = cast(Dataset, columns.typed(raw[spec.split]))
    roles: dict[str, str] = {}
    for role, column in task.columns.items():
        if role == "label":
            continue
        named = getattr(spec.columns, role, None)
        fits = [c for c, feature in rows.features.items() if columns.fits(role, feature, data, task)]
        chosen = named or (column if column in rows.features else fits[0] if column and len(fits) == 1 else None)
        if chosen is None and column is None:  # such as the second text of a pair
            continue
        if chosen is None or chosen not in rows.features:
            what = f"no column {named!r}{nearest(named, rows.features)}" if named else "which column is it?"
            raise DataError(f"{key}.columns.{role}: {what} ({spec.path} has: {listing(rows.features)})")
        if chosen != column and named is None and isinstance(spec, DataSet):
            say(f"{key}: column {chosen} is read as {role}")
        roles[role] = chosen
    whole = rows
    rows = cast(Dataset, columns.read(rows, roles, data, task, key.rpartition(".")[2], spec.split, (), beside))
    if spec.max_samples is not None:
        whole, rows = (part.select(range(min(spec.max_samples, len(rows)))) for part in (whole, rows))
    if not len(rows):
        raise DataError(f"{key}: {spec.path} has no rows in split {spec.split!r}; choose another")
    if isinstance(spec, DataSet) and spec.labels == "given":
        targets = given_labels(key, spec, whole, task, labels)
        if LOGITS in whole.features:
            rows = rows.add_column(LOGITS, read_column(whole, LOGITS))
    else:
        targets = [PROBLEMS[labels.problem].empty_label(labels.size)] * len(rows)
        if isinstance(spec, DataSet):
            for note in label_notes(key, whole, label_column(spec, whole, task), labels):
                say(note)
    rows = rows.add_column("labels", pa.array(targets))
    return rows.add_column("row", pa.array(np.arange(len(rows)))), roles


def label_column(spec: DataSet, rows: Dataset, task: Task) -> str | None:
    """The column of labels that are not read: the one that is named, of the task's usual name, or the only one of classes."""
    named = spec.columns.label
    if named is not None:
        return named if isinstance(named, str) else None
    usual = task.columns.get("label")
    fits = [column for column, feature in rows.features.items() if columns.plays("label", feature, task)]
    return usual if usual in rows.features or len(fits) != 1 else fits[0]


def given_labels(key: str, spec: DataSet, rows: Dataset, task: Task, labels: Labels) -> list[int]:
    """The class of each row of a set, by its name.

    Raises:
        DataError: there is no column of labels, a row has no label, or one that the task does not have.
    """
    if not PROBLEMS[labels.problem].classes:
        raise DataError(f"{key}.labels: is given, but {labels.problem} has no single class for each row; use none")
    name = spec.columns.label if isinstance(spec.columns.label, str) else task.columns["label"]
    if name is None or name not in rows.features:
        raise DataError(f"{key}.columns.label: no column {name!r} ({spec.path} has: {listing(rows.features)})")
    feature = rows.features[name]
    found = []
    for i, value in enumerate(read_column(rows, name).to_pylist()):
        called = feature.int2str(value) if hasattr(feature, "int2str") and value is not None else value
        known = None if called is None else labels.label2id.get(class_name(called))
        if known is None:
            what = "has no label" if called is None else f"is of {called!r}"
            raise DataError(
                f"{key}: row {i} {what}, but the task's classes are {listing(labels.names)}; leave such rows out"
            )
        found.append(known)
    return found
