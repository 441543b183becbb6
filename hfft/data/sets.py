"""Further rows beside the task's, for methods that read them: prepared as training rows are, their labels never looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.fingerprint import Hasher

from hfft.data import columns
from hfft.data.augment import compose
from hfft.data.inputs import VERSION, ImageRows, ImageStep, TextStep, tokenised
from hfft.data.load import load_raw
from hfft.data.spec import Data, DataSet
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.wording import listing, nearest


def load_sets(
    specs: Mapping[str, DataSet],
    usual: Mapping[str, str | None],
    labels: Labels,
    processor: Any,
    augment: Sequence[Any],
    seed: int,
    pixels: Any = None,
) -> dict[str, Any]:
    """Name -> rows of each further set, ready to be collated with the task's.

    Args:
        usual: role -> usual name of its column, of the task.
        augment: as of the training rows.
        pixels: what the device makes of images, as of the training rows.

    Raises:
        DataError: no such split or column, or no row.
        BadInput, HubError: the data is not there or cannot be reached.
    """
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        rows, roles = _rows(name, spec, usual, labels)
        if "image" in roles:
            step = ImageStep(processor, roles["image"], name, compose(list(augment)) if augment else None, seed, pixels)
            found[name] = ImageRows(rows, step)
        else:
            known = Hasher.hash((VERSION, processor, roles, "set"))
            found[name] = tokenised(rows, TextStep(processor, roles, name), known)
    return found


def _rows(name: str, spec: DataSet, usual: Mapping[str, str | None], labels: Labels) -> tuple[Dataset, dict[str, str]]:
    """The rows of a set with `labels` of zeros and their numbers, and role -> column."""
    data = Data(**{key: value for key in _SAME if (value := getattr(spec, key)) is not None})
    raw, _ = load_raw(data)
    if spec.split not in raw:
        raise DataError(
            f"data.sets.{name}.split: no split {spec.split!r}{nearest(spec.split, raw)} ({spec.path} has: {listing(raw)})"
        )
    rows = cast(Dataset, columns.typed(raw[spec.split]))
    roles: dict[str, str] = {}
    for role, column in usual.items():
        if role == "label":
            continue
        named = getattr(spec.columns, role)
        fits = [c for c, feature in rows.features.items() if columns.plays(role, feature)]
        chosen = named or (column if column in rows.features else fits[0] if column and len(fits) == 1 else None)
        if chosen is None and column is None:  # such as the second text of a pair
            continue
        if chosen is None or chosen not in rows.features:
            what = f"no column {named!r}{nearest(named, rows.features)}" if named else "which column is it?"
            raise DataError(f"data.sets.{name}.columns.{role}: {what} ({spec.path} has: {listing(rows.features)})")
        roles[role] = chosen
    rows = cast(Dataset, columns.read(rows, roles, data, name, spec.split))
    if spec.max_samples is not None:
        rows = rows.select(range(min(spec.max_samples, len(rows))))
    if not len(rows):
        raise DataError(f"data.sets.{name}: {spec.path} has no row in split {spec.split!r}; name another")
    zero: Any = 0 if labels.problem == "single_label_classification" else [0.0] * max(labels.size, 1)
    rows = rows.add_column("labels", pa.array([zero] * len(rows)))
    return rows.add_column("row", pa.array(np.arange(len(rows)))), roles


_SAME = ("path", "name", "data_files", "data_dir", "revision", "columns")
