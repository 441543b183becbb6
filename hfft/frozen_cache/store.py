"""Row tensors stored on disk: memory-mapped, in shards, each row at its own length, safe against a crash half-way.

A store is a folder. Its size is fixed when it is created: every row has its place, so any process on the machine can write
any row, and reading is slicing. A row counts as stored once it has a checksum, which is written after the row and checked
when the row is first read: a row that a crash left half-written, or that was damaged later, is treated as absent.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hfft.errors import RunError
from hfft.frozen_cache.folder import IN_USE

SHARD = 256 * 2**20  # bytes, maximum, except for a single larger row
_PLAIN = {torch.bfloat16: torch.int16}  # dtypes that NumPy does not have


@dataclass(frozen=True)
class Field:
    """One tensor of each row: `(*tail)`, or `(length of the row, *tail)` if ragged."""

    name: str
    dtype: str  # torch's name for it
    tail: tuple[int, ...]
    ragged: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype."""
        return getattr(torch, self.dtype)

    @property
    def numpy_dtype(self) -> np.dtype:
        """The dtype in NumPy."""
        return torch.empty(0, dtype=_PLAIN.get(self.torch_dtype, self.torch_dtype)).numpy().dtype

    @property
    def bytes(self) -> int:
        """Size in bytes of one row, or of one step along a ragged row."""
        return int(np.prod(self.tail, dtype=np.int64)) * self.torch_dtype.itemsize


def size_of(fields: Sequence[Field], rows: int, lengths: np.ndarray | None) -> int:
    """Size of a full store in bytes.

    Args:
        lengths: (rows,) length of each row in ragged fields; None without ragged fields.
    """
    steps = 0 if lengths is None else int(lengths.sum())
    return 4 * rows + sum(field.bytes * (steps if field.ragged else rows) for field in fields)


class Store:
    """The rows in one folder.

    Args:
        fields: the tensors of each row.
        rows: number of rows.
        lengths: (rows,) length of each row in ragged fields.

    Raises:
        RunError: the folder cannot be written.
    """

    def __init__(self, folder: Path, fields: Sequence[Field], rows: int, lengths: np.ndarray | None = None):
        self.folder, self.fields, self.rows = folder, tuple(fields), rows
        self.lengths = np.ones(rows, np.int64) if lengths is None else lengths.astype(np.int64)
        self.start = np.concatenate([[0], np.cumsum(self.lengths)])
        per_row = sum(f.bytes for f in fields if not f.ragged)
        per_step = sum(f.bytes for f in fields if f.ragged)
        ends = per_row * np.arange(1, rows + 1) + per_step * self.start[1:]
        # a row belongs to the shard where it ends
        self.shard_of = np.unique((ends - 1) // SHARD, return_inverse=True)[1]
        edges = np.searchsorted(self.shard_of, np.arange((self.shard_of[-1] if rows else 0) + 2))
        self.edges = edges.tolist()  # first row of each shard
        self.bytes = size_of(fields, rows, lengths)
        self._maps: dict[int, dict[str, np.ndarray]] = {}
        try:
            self._make()
        except OSError as error:
            raise RunError(f"cache: {folder} cannot be written ({error.strerror})") from error
        self._seen = np.zeros(rows, bool)  # checksums that this process has compared or written

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / IN_USE, "w")  # noqa: SIM115  locked as long as the store is used
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        os.utime(self.folder)
        meta = {"rows": self.rows, "steps": int(self.start[-1]), "fields": [asdict(field) for field in self.fields]}
        text = json.dumps(meta)
        path = self.folder / "meta.json"
        if not path.is_file():
            temp_dir = path.with_name(f".meta.{os.getpid()}")
            temp_dir.write_text(text)
            os.replace(temp_dir, path)
        elif path.read_text() != text:
            raise OSError(0, "it contains other tensors under the same name; run `hfft cache clear`")
        sums = self.folder / "rows.crc"
        if sums.is_file() and sums.stat().st_size != 4 * self.rows:
            sums.unlink()
        _reserve(sums, 4 * self.rows)
        self.sums = np.memmap(sums, np.uint32, "r+") if self.rows else np.zeros(0, np.uint32)
        for shard, (first, end) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            path, size = self._path(shard), self._offsets(shard)[1]
            if path.is_file() and path.stat().st_size != size:  # damaged: all of its rows are absent
                path.unlink()
                self.sums[first:end] = 0
            if not path.is_file() and self.sums[first:end].any():
                self.sums[first:end] = 0

    def _path(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:05}.bin"

    def _offsets(self, shard: int) -> tuple[list[int], int]:
        """The offset of each field in a shard, and the shard's length."""
        first, end = self.edges[shard], self.edges[shard + 1]
        offsets, at = [], 0
        for field in self.fields:
            offsets.append(at)
            count = int(self.start[end] - self.start[first]) if field.ragged else end - first
            at += -(-count * field.bytes // 64) * 64
        return offsets, at

    def _map(self, shard: int) -> dict[str, np.ndarray]:
        """Field -> its values in a shard, memory-mapped."""
        if shard not in self._maps:
            offsets, size = self._offsets(shard)
            _reserve(self._path(shard), size)
            whole = np.asarray(np.memmap(self._path(shard), np.uint8, "r+"))  # a plain array is faster to index
            first, end = self.edges[shard], self.edges[shard + 1]
            found = {}
            for field, offset in zip(self.fields, offsets, strict=True):
                count = int(self.start[end] - self.start[first]) if field.ragged else end - first
                values = whole[offset : offset + count * field.bytes].view(field.numpy_dtype)
                found[field.name] = values.reshape(count, *field.tail)
            self._maps[shard] = found
        return self._maps[shard]

    def has(self, rows: np.ndarray) -> np.ndarray:
        """Which of the rows are stored, `(len(rows),)` of bool; a row with a wrong checksum is absent."""
        for row in rows[(self.sums[rows] != 0) & ~self._seen[rows]].tolist():
            if self.sums[row] == self._checksum(row):
                self._seen[row] = True
            else:
                self.sums[row] = 0
        return np.asarray(self.sums[rows] != 0)

    def count(self) -> int:
        """Number of stored rows."""
        return int(np.count_nonzero(self.sums))

    def write(self, rows: np.ndarray, values: Mapping[str, Tensor]) -> None:
        """Write rows that are not stored yet; stored rows are unchanged.

        Args:
            values: field -> `(len(rows), *tail)`, or the rows' values concatenated if ragged.
        """
        new = np.flatnonzero(self.sums[rows] == 0)
        new = new[np.unique(rows[new], return_index=True)[1]]
        if not len(new):
            return
        begin = np.concatenate([[0], np.cumsum(self.lengths[rows])])
        arrays = {f.name: _plain(values[f.name]) for f in self.fields}
        for i in new.tolist():
            row = int(rows[i])
            for field in self.fields:
                source = arrays[field.name]
                self._place(row, field)[:] = source[begin[i] : begin[i + 1]] if field.ragged else source[i : i + 1]
        sums = [self._checksum(int(row)) for row in rows[new]]
        self.sums[rows[new]] = sums
        self._seen[rows[new]] = True

    def read(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Field -> values of stored rows, in the form that `write` takes."""
        shards, counts = self.shard_of[rows], self.lengths[rows]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        parts = []
        for shard in np.unique(shards).tolist():
            first, mine = self.edges[shard], shards == shard
            where = np.repeat(mine, counts)
            steps = np.repeat(self.start[rows[mine]] - self.start[first], counts[mine]) + within[where]
            parts.append((self._map(shard), mine, rows[mine] - first, where, steps))
        found: dict[str, Tensor] = {}
        for field in self.fields:
            if len(parts) == 1:
                values, _, places, _, steps = parts[0]
                out = values[field.name][steps if field.ragged else places]
            else:
                out = np.empty((len(within) if field.ragged else len(rows), *field.tail), field.numpy_dtype)
                for values, mine, places, where, steps in parts:
                    out[where if field.ragged else mine] = values[field.name][steps if field.ragged else places]
            tensor = torch.from_numpy(out)
            found[field.name] = tensor.view(field.torch_dtype) if field.torch_dtype in _PLAIN else tensor
        return found

    def _place(self, row: int, field: Field) -> np.ndarray:
        shard = int(self.shard_of[row])
        first = self.edges[shard]
        if field.ragged:
            begin, end = self.start[row] - self.start[first], self.start[row + 1] - self.start[first]
        else:
            begin, end = row - first, row - first + 1
        return self._map(shard)[field.name][begin:end]

    def _checksum(self, row: int) -> int:
        found = 0
        for field in self.fields:
            found = zlib.crc32(self._place(row, field).tobytes(), found)
        return found or 1

    def close(self) -> None:
        """Release the lock, so that others can remove the folder."""
        self._maps.clear()
        self._lock.close()


def _plain(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu().contiguous()
    return (tensor.view(_PLAIN[tensor.dtype]) if tensor.dtype in _PLAIN else tensor).numpy()


def _reserve(path: Path, size: int) -> None:
    """Create a file of zeros under a temporary name and link it, so that several processes end up with the same file."""
    if path.is_file():
        return
    temp_dir = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temp_dir, "wb") as file:
            file.truncate(size)
        with contextlib.suppress(FileExistsError):
            os.link(temp_dir, path)
    finally:
        temp_dir.unlink(missing_ok=True)
