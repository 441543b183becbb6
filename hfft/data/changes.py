"""Whether data is still what a run was trained on."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from hfft.data.fingerprint import fingerprints
from hfft.data.load import load_splits
from hfft.data.source.local import is_local
from hfft.data.spec import Data
from hfft.tasks.table import Task


def file_state(data: Data) -> str | None:
    """A digest of the names, sizes and times of the files of this machine that are the data; None if there are none."""
    found, any_file = hashlib.sha256(), False
    for path in sorted(set(_files(data))):
        state = os.stat(path)
        found.update(repr((path, state.st_size, state.st_mtime_ns)).encode("utf-8", "surrogateescape"))
        any_file = True
    return found.hexdigest() if any_file else None


def changed_splits(note: Mapping[str, Any], data: Data, task: Task, seed: int) -> list[str]:
    """The splits whose rows are not those that a run noted when it read them; empty if the files are gone.

    Files with the same sizes and times are not read; others are, and their rows are compared.

    Args:
        note: `files`, a `file_state`; `named_files`, what `names_files` says; and `rows`, the `fingerprints`.

    Raises:
        HfftError: the files have changed and cannot be read.
    """
    now = file_state(data)
    if now is None or (now == note.get("files") and not note.get("named_files")):
        return []
    if data.streaming:
        return ["the files"]
    rows, before = fingerprints(load_splits(data, task, seed)[0]), note.get("rows") or {}
    return [name for name in {**before, **rows} if before.get(name) != rows.get(name)]


def names_files(rows: Any, data: Data) -> bool:
    """Whether the rows name files beside those of the data, as a table of the paths of images does."""
    if not isinstance(rows, Dataset) or not len(rows) or Path(data.path).expanduser().is_dir():
        return False
    for key, feature in rows.features.items():
        plain = isinstance(feature, dict) and set(feature) == {"bytes", "path"}  # sounds
        if not plain and not hasattr(feature, "decode"):
            continue
        first = rows.select([0])
        first = (first if plain else first.cast_column(key, type(feature)(decode=False)))[0][key]
        # what is drawn of a sound has bytes, and the path of the sound
        if first is not None and (first["bytes"] is None or (first["path"] and os.path.isfile(first["path"]))):
            return True
    return False


def _files(data: Data) -> Iterator[str]:
    """The files that a data section names: one, those below a folder, or those that match `data_files`; of a mix all sets'."""
    for spec in data.mix.values():
        yield from _files(spec.data())
    if not is_local(data):
        return
    path, named = Path(data.path).expanduser(), data.data_files
    root = str((path if path.is_dir() else Path()) / (data.data_dir or ""))
    if named is not None:
        groups = named.values() if isinstance(named, dict) else [named]
        patterns = [pattern for group in groups for pattern in ([group] if isinstance(group, str) else group)]
        for pattern in patterns:
            yield from filter(os.path.isfile, glob.glob(os.path.join(root, pattern), recursive=True))
    elif path.is_dir() or data.data_dir:
        for folder, _, names in os.walk(root):
            yield from filter(os.path.isfile, (os.path.join(folder, name) for name in names))
    else:
        yield from filter(os.path.isfile, glob.glob(str(path)) or [str(path)])
