"""States that runs on other sets of rows have stored: runs with other seeds, folds or sizes have most of their rows in common.

Each entry of the cache is of one set of rows. Beside its states it notes a key for each row, and of what model they are; a
new entry of the same model takes over the states of the rows that others have.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hfft.data.row_keys import labelled_keys_of
from hfft.errors import RunError
from hfft.frozen_cache.folder import write_array
from hfft.frozen_cache.store import Field, Store

KEYS = "keys.npy"  # in an entry: `(rows, 2)` int64, the key and the length of each row
MODEL = "model.txt"  # in an entry: what its states depend on besides the rows
SHARED = "shared"  # an empty file in an entry that began with rows of others
AT_ONCE = 1024  # rows that are copied together


def take_over(store: Store, rows: Any, model: str) -> bool:
    """Note the rows of a new store, and copy the states that other entries of the cache have of them.

    A store with states in it is left as it is: its run is continued, and should end as it would have.

    Args:
        rows: the split as `data.prepare` makes it; others are not taken over.
        model: a digest of everything besides the rows that states depend on.

    Returns:
        Whether the store began with rows of others.
    """
    if store.count():
        return (store.folder / SHARED).is_file()
    try:
        keys = labelled_keys_of(rows)
    except (AttributeError, KeyError, TypeError):  # rows of another kind
        return False
    wanted = f"{model} {list(store.fields)!r}"
    write_array(store.folder / KEYS, np.stack([keys, store.lengths], 1))
    (store.folder / MODEL).write_text(wanted, encoding="utf-8")
    for folder in sorted(store.folder.parent.iterdir()):
        if folder != store.folder and _model(folder) == wanted:
            with contextlib.suppress(OSError, ValueError, IndexError, RunError):  # damaged, or removed meanwhile
                _copy(store, keys, folder, store.fields)
            if store.count() == store.rows:
                break
    if store.count():
        (store.folder / SHARED).touch()
    return bool(store.count())


def _copy(store: Store, keys: np.ndarray, folder: Path, fields: Sequence[Field]) -> None:
    """Copy the rows that a store lacks from another entry."""
    theirs = np.load(folder / KEYS, allow_pickle=False)
    order = np.argsort(theirs[:, 0], kind="stable")
    at = np.minimum(np.searchsorted(theirs[order, 0], keys), len(order) - 1)
    ragged = any(field.ragged for field in fields)
    other = Store(folder, fields, len(theirs), theirs[:, 1] if ragged else None)
    try:
        mine = np.flatnonzero((store.sums == 0) & (theirs[order[at], 0] == keys))
        for start in range(0, len(mine), AT_ONCE):
            part = mine[start : start + AT_ONCE]
            source = order[at[part]]
            there = other.has(source) & (other.lengths[source] == store.lengths[part])
            if there.any():
                store.write(part[there], other.read(source[there]))
    finally:
        other.close()


def _model(folder: Path) -> str | None:
    try:
        return (folder / MODEL).read_text(encoding="utf-8")
    except OSError:
        return None
