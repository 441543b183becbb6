"""Training rows and those of further sets as one: the frozen prefix of a batch that holds both runs once for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hfft.data.identity import identity, token_counts


class JoinedRows:
    """The training rows, then the rows of each set, under one numbering.

    Args:
        train: the training rows.
        sets: name -> rows of a set, which methods read as they are prepared.
    """

    def __init__(self, train: Any, sets: Mapping[str, Any]):
        self.parts = [train, *sets.values()]
        self.ends = np.cumsum([len(rows) for rows in self.parts])
        self.offsets = dict(zip((None, *sets), [0, *self.ends[:-1].tolist()], strict=True))
        counts = [token_counts(rows) for rows in self.parts]
        if all(count is not None for count in counts):
            self.lengths = np.concatenate([count for count in counts if count is not None])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, row: int) -> Any:
        return self.__getitems__([row])

    def __getitems__(self, numbers: list[int]) -> Any:
        """Rows in the order that is asked for, in the form in which the parts give them."""
        rows = np.asarray(numbers, np.int64)
        part = np.searchsorted(self.ends, rows, side="right")
        order = np.argsort(part, kind="stable")
        found = [
            fetched(self.parts[p], rows[part == p] - (self.ends[p - 1] if p else 0)) for p in np.unique(part).tolist()
        ]
        return reordered(joined(found), np.argsort(order, kind="stable"))

    def identity(self) -> str:
        """A digest of all parts."""
        return hashlib.sha256(repr([identity(rows) for rows in self.parts]).encode()).hexdigest()


def fetched(rows: Any, numbers: np.ndarray) -> Any:
    """Rows by number, as a DataLoader fetches them."""
    indices = numbers.tolist()
    return rows.__getitems__(indices) if hasattr(rows, "__getitems__") else [rows[i] for i in indices]


def joined(parts: list[Any]) -> Any:
    """Rows that were fetched separately, as if fetched together: lists, or ragged columns."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    columns = parts[0]
    return {name: tuple(np.concatenate([part[name][i] for part in parts]) for i in (0, 1)) for name in columns}


def reordered(rows: Any, order: np.ndarray) -> Any:
    """Rows as fetched, in another order: a list, or ragged columns `{name: (values, lengths)}`."""
    if np.array_equal(order, np.arange(len(order))):
        return rows
    if isinstance(rows, list):
        return [rows[i] for i in order]
    found = {}
    for name, (values, lengths) in rows.items():
        ends, wanted = np.cumsum(lengths), lengths[order]
        within = np.arange(wanted.sum()) - np.repeat(np.cumsum(wanted) - wanted, wanted)
        found[name] = values[np.repeat((ends - lengths)[order], wanted) + within], wanted
    return found
