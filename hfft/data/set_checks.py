"""Checks of a further set before training: rows that cannot be read, other classes, rows that the task trains on already."""

from __future__ import annotations

from collections import Counter

import numpy as np
from datasets import Dataset

from hfft.data.audit import SHOWN, inspected
from hfft.data.classes import class_name
from hfft.data.modality.base import Inputs
from hfft.data.splits import column as read_column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing


def content_notes(
    key: str, rows: Dataset, roles: dict[str, str], inputs: Inputs, train: np.ndarray | None = None
) -> list[str]:
    """Check that every row can be read, and count those that are also in train.

    Args:
        train: digests of the training rows, 0 where they are not read; None if there are none.

    Raises:
        DataError: a row cannot be read.
    """
    found = inspected(rows, roles, inputs)
    faults = read_column(found, "fault").to_pylist()
    if bad := [row for row, fault in enumerate(faults) if fault]:
        which = (
            f"rows {listing(bad, SHOWN)} ({len(bad)} of {len(rows)}), the first" if len(bad) > 1 else f"row {bad[0]}"
        )
        raise DataError(f"{key}: {which}: {faults[bad[0]]}; fix, or leave out")
    digests = read_column(found, "digest").to_numpy()
    if train is None or not len(train):
        return []
    twins = np.flatnonzero(np.isin(digests, train[train != 0]))
    if len(twins) == len(rows):
        return [f"{key}: all of its {len(rows)} rows are also in train, so that there is nothing to adapt to"]
    if len(twins):
        return [
            f"{key}: {len(twins)} of its {len(rows)} rows are also in train (rows {listing(twins.tolist(), SHOWN)})"
        ]
    return []


def label_notes(key: str, rows: Dataset, column: str | None, labels: Labels) -> list[str]:
    """What a user should know about labels of a set that are not read.

    Args:
        rows: with all columns of the data.
        column: the column of labels; None if there is none.
    """
    if column is None or column not in rows.features or not PROBLEMS[labels.problem].classes:
        return []
    feature = rows.features[column]
    values = Counter(value for value in read_column(rows, column).to_pylist() if not isinstance(value, list | dict))
    counts = {
        class_name(feature.int2str(value) if hasattr(feature, "int2str") else value): count
        for value, count in values.items()
        if value is not None and not (hasattr(feature, "int2str") and value < 0)
    }
    if not counts:
        return []
    other = [name for name in counts if name not in labels.label2id]
    if len(other) == len(counts):
        return [
            f"{key}: none of its classes ({listing(other, SHOWN)}) is one of the task's: they have other names, or there is "
            f"nothing to adapt to"
        ]
    if other:
        many = sum(counts[name] for name in other)
        return [
            f"{key}: open set: {many} of its {len(rows)} rows are of classes that the task does not have "
            f"({listing(other, SHOWN)}), and would be taken for its classes; leave them out if you can"
        ]
    return [f"{key}: its labels (column {column}) are not read"]
