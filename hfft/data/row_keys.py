"""Digests of single rows, so that what a model computed of a row is found again in any other set of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfft.data.digest import digest_of
from hfft.data.identity import settings_of
from hfft.data.image_processor import VERSION
from hfft.data.splits import column
from hfft.data.stored_files import file_digest
from hfft.data.texts import flat

AT_ONCE = 10_000  # rows of tokens that are read together


def keys_of(rows: Any) -> np.ndarray:
    """A digest of what a model reads of each row, `(N,)` int64; equal for rows with equal inputs.

    Args:
        rows: a split as `data.prepare` makes it, not augmented.
    """
    if hasattr(rows, "lengths"):
        return _of_tokens(rows)
    name, step = rows.step.column, rows.step
    content = rows.content if rows.content is not None else np.zeros(len(rows), np.int64)
    found = np.array(content, np.int64)
    for i in np.flatnonzero(found == 0):
        stored = rows.rows[int(i)][name]
        found[i] = file_digest(stored) or digest_of(repr(stored["path"]).encode())
    made = f"{settings_of(step.processor)} {VERSION}".encode()
    return np.array([digest_of(made + int(key).to_bytes(8, "little", signed=True)) for key in found], np.int64)


def labelled_keys_of(rows: Any) -> np.ndarray:
    """The same of each row with its label."""
    values, lengths = flat(column(rows.rows, "labels").combine_chunks())
    ends = np.cumsum(lengths)
    labels = (np.ascontiguousarray(values[end - n : end]).tobytes() for end, n in zip(ends, lengths, strict=True))
    pairs = zip(keys_of(rows).tolist(), labels, strict=True)
    return np.array([digest_of(key.to_bytes(8, "little", signed=True) + label) for key, label in pairs], np.int64)


def _of_tokens(rows: Any) -> np.ndarray:
    found = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), AT_ONCE):
        numbers = list(range(start, min(start + AT_ONCE, len(rows))))
        columns = {name: pair for name, pair in sorted(rows.__getitems__(numbers).items()) if name != "labels"}
        ends = {name: np.cumsum(lengths) for name, (_, lengths) in columns.items()}
        for i, row in enumerate(numbers):
            parts = [
                name.encode()
                + np.ascontiguousarray(values[ends[name][i] - lengths[i] : ends[name][i]], "<i8").tobytes()
                for name, (values, lengths) in columns.items()
            ]
            found[row] = digest_of(b"\0".join(parts))
    return found
