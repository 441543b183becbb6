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

from hfft.frozen_cache.folder import IN_USE, make_room

SUFFIX = ".features.npy"


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
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                stored: Any = np.load(path, mmap_mode="r")
                order = np.argsort(stored["key"], kind="stable")
                ranked = np.asarray(stored["key"])[order]
            except (OSError, ValueError, IndexError):  # damaged, or removed since
                continue
            at = np.minimum(np.searchsorted(ranked, keys), max(len(ranked) - 1, 0))
            if not len(ranked):
                continue
            rows = np.flatnonzero(~there & (ranked[at] == keys))
            if not len(rows):
                continue
            taken = stored[order[at[rows]]]
            values = np.ascontiguousarray(taken["values"])
            if found is None:
                found = np.empty((len(keys), values.shape[1]), np.float32)
            if values.shape[1] != found.shape[1]:
                continue
            good = np.array([_sum(row) for row in values], np.uint32) == taken["sum"]
            found[rows[good]], there[rows[good]] = values[good], True
        return found, there

    def add(self, keys: np.ndarray, values: np.ndarray, limit: int) -> str | None:
        """Store features `(N, D)` under keys `(N,)`; returns None, or why they are not stored."""
        kind = np.dtype([("key", "<i8"), ("sum", "<u4"), ("values", "<f4", (values.shape[1],))])
        keys, first = np.unique(keys, return_index=True)
        table = np.empty(len(keys), kind)
        table["key"], table["values"] = keys, values[first]
        table["sum"] = [_sum(row) for row in table["values"]]
        held = sum(path.stat().st_size for path in self.folder.glob(f"*{SUFFIX}"))
        if (refused := make_room(self.folder, held + table.nbytes, limit)) is not None:
            return refused
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:16]
        temporary = self.folder / f".{name}.{os.getpid()}"
        try:
            with open(temporary, "wb") as file:
                np.save(file, table, allow_pickle=False)
            os.replace(temporary, self.folder / f"{name}{SUFFIX}")
        except OSError as error:
            return f"{self.folder} cannot be written ({error.strerror})"
        finally:
            temporary.unlink(missing_ok=True)
        return None

    def close(self) -> None:
        """Release the lock, so that others can remove the folder."""
        self._lock.close()


def _sum(row: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(row).tobytes())
