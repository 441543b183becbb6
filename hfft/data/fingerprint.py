"""A digest of the rows that a run trains on: equal for two starts of the same command, different for other data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset

from hfft.data.load import Splits
from hfft.data.splits import column

SAMPLE = 500  # evenly spaced rows that are read as stored; of all rows, labels, numbers and digests of the inputs are


def fingerprints(splits: Splits) -> dict[str, str]:
    """Split -> digest of its number of rows, its columns, all labels, row numbers and inputs, and 500 rows as stored.

    A stream cannot be read twice for this: only its columns, stated size and origin are used, besides the pinned commit.
    """
    if splits.tasks:
        each = {task: fingerprints(one) for task, one in splits.tasks.items()}
        return {f"{task}: {name}": digest for task, rows in each.items() for name, digest in rows.items()}
    found = {}
    for name, rows in splits.items():
        digest = hashlib.sha256()
        _add(digest, [splits.sizes[name], splits.origin[name], sorted(splits.columns.items())])
        if isinstance(rows, Dataset):
            for key in (key for key in ("labels", "row") if key in rows.column_names):
                _add(digest, column(rows, key).to_pylist())
            if name in splits.content:
                digest.update(np.ascontiguousarray(splits.content[name]).tobytes())
            stored = rows
            for key, feature in rows.features.items():
                if hasattr(feature, "decode"):  # an image or another file: use its bytes
                    stored = stored.cast_column(key, type(feature)(decode=False))
            chosen = range(0, len(rows), max(len(rows) // SAMPLE, 1))
            _add(digest, stored.select(chosen).with_format(None)[:])
        found[name] = digest.hexdigest()[:16]
    return found


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value):
            _add(digest, key)
            if key != "path":  # the path of an image file, which may have moved
                _add(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"[{len(value)}".encode())
        for item in value:
            _add(digest, item)
    elif isinstance(value, bytes):
        digest.update(value)
    else:
        digest.update(f"{value!r};".encode())
