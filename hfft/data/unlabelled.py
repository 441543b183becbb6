"""Training rows whose labels are not read (`data.labels: none`): every row gets the first class in their place."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from datasets import ClassLabel, Dataset

from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.tasks.table import Task


def without_labels(
    parts: Mapping[str, Dataset], found: Mapping[str, str], data: Data, task: Task
) -> tuple[dict[str, Dataset], dict[str, str]]:
    """The splits with placeholders for the labels of train, and role -> column with that of the label.

    Held-out splits keep their labels. What the label of a training row was is gone after this, so that nothing can use it.

    Raises:
        DataError: nothing names the classes.
    """
    usual = task.columns["label"] or "label"
    column = found.get("label") or data.columns.label or usual
    assert isinstance(column, str)
    names = data.classes
    for rows in parts.values():
        feature = rows.features.get(column)
        if isinstance(feature, ClassLabel):  # all of them in order: data.classes may choose among them
            names = list(feature.names)
            break
    if not names:
        raise DataError(
            "data.classes: labels are not read (data.labels=none), and the data does not name its classes; list those of the "
            "model, in its order"
        )
    train = parts["train"]
    if column in train.column_names:
        train = train.remove_columns([column])
    first = data.classes[0] if data.classes and data.classes[0] in names else names[0]
    placeholder = pa.array([names.index(first)] * len(train), pa.int64())
    train = train.add_column(column, placeholder, feature=ClassLabel(names=names))
    return {**parts, "train": train}, {**found, "label": column}
