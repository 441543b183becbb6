"""Features stored on disk by what they are computed of: a row's content, not its number, so that any subset finds them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hfft.frozen_cache.folder import IN_USE, make_room, write_array

VALUES, INDEX = ".values.npy", ".rows.npy"  # a file of vectors, and of their keys and checksums, written after it
ROW = np.dtype([("key", "<i8"), ("sum", "<u4")])


class FeatureStore:
    """One folder of features, of one view of one model: any number of files, each with a key, a checksum and a vector per row.

    Several processes may use it at once; each adds files of its own under a temporary name and renames them when complete.
    A row with a wrong checksum counts as absent.
    """

    def __init__(self, folder: Path, note: str):
        """Open or make the folder; it is not removed by others while it is open.

        Raises:
            OSError: it cannot be written.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(folder / IN_USE, "w")  # noqa: SIM115  locked as long as the store is used
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        os.utime(folder)
        (folder / "note.txt").write_text(note, encoding="utf-8")
        self._indices: dict[Path, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, no other process computes features for this folder: it waits, and then finds them."""
        with open(self.folder / "computing", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find(self, keys: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The stored features `(N, D)` of rows by their keys `(N,)`, and which of them are there, `(N,)` of bool.

        The features are None if none is there, and undefined for the rows that are not.
        """
        found: np.ndarray | None = None
        there = np.zeros(len(keys), bool)
        for path in sorted(self.folder.glob(f"*{INDEX}")):
            try:
                ranked, order, sums = self._index(path)
                at = np.minimum(np.searchsorted(ranked, keys), len(ranked) - 1)
                rows = np.flatnonzero(~there & (ranked[at] == keys))
                if not len(rows):
                    continue
                places = order[at[rows]]
                values = np.asarray(np.load(_beside(path), mmap_mode="r")[places], np.float32)
            except (OSError, ValueError, IndexError):  # damaged, or removed since
                continue
            if found is None:
                found = np.empty((len(keys), values.shape[1]), np.float32)
            if values.shape[1:] != found.shape[1:]:
                continue
            good = _sums(values) == sums[places]
            found[rows[good]], there[rows[good]] = values[good], True
        return found, there

    def _index(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The keys in order, their places, and the checksums by place."""
        if path not in self._indices:
            stored: Any = np.load(path)
            order = np.argsort(stored["key"], kind="stable")
            self._indices[path] = stored["key"][order], order, stored["sum"]
        return self._indices[path]

    def add(self, keys: np.ndarray, values: np.ndarray, limit: int) -> str | None:
        """Store features `(N, D)` under keys `(N,)`; returns None, or why they are not stored."""
        keys, first = np.unique(keys, return_index=True)
        if not len(keys):
            return None
        values = np.ascontiguousarray(values[first], "<f4")
        index = np.empty(len(keys), ROW)
        index["key"], index["sum"] = keys, _sums(values)
        held = sum(path.stat().st_size for path in self.folder.glob("*.npy"))
        if (refused := make_room(self.folder, held + values.nbytes + index.nbytes, limit)) is not None:
            return refused
        final = self.folder / f"{hashlib.sha256(keys.tobytes()).hexdigest()[:16]}{INDEX}"
        try:
            for path, array in ((_beside(final), values), (final, index)):
                write_array(path, array)
        except OSError as error:
            return f"{self.folder} cannot be written ({error.strerror})"
        return None

    def close(self) -> None:
        """Release the lock, so that others can remove the folder."""
        self._lock.close()


def _sums(values: np.ndarray) -> np.ndarray:
    return np.array([zlib.crc32(row) for row in np.ascontiguousarray(values)], np.uint32)


def _beside(index: Path) -> Path:
    """The file of vectors that belongs to an index."""
    return index.with_name(index.name.removesuffix(INDEX) + VALUES)
