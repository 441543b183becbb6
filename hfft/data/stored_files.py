"""Images and sounds as files: their content, a digest of it, and when they last changed."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, Features, IterableDataset
from datasets.fingerprint import Hasher
from datasets.utils.file_utils import xopen

from hfft.data.digest import digest_of
from hfft.data.file_paths import Medium
from hfft.errors import DataError

# A column of files. Sounds have this type and not `datasets.Audio`, which needs torchcodec to be written as well as read.
FILE = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}


def as_files(rows: Dataset, column: str) -> Dataset:
    """The rows with a column of images, of sounds or of their files as the files; nothing is copied or written."""
    found = copy.copy(rows)  # `cast_column` would write the rows anew
    found._info = copy.deepcopy(rows._info)
    found._info.features[column] = FILE
    found._data = rows._data.cast(found._info.features.arrow_schema)
    found._fingerprint = Hasher.hash((rows._fingerprint, "files", column))
    return found


def is_remote(stored: Mapping[str, Any]) -> bool:
    """Whether a file has a web address, so that it is not read before it is needed."""
    return stored["bytes"] is None and stored["path"].startswith(("http://", "https://", "hf://"))


def file_of(stored: Mapping[str, Any]) -> bytes:
    """The content of a file."""
    if stored["bytes"] is not None:
        return stored["bytes"]
    with xopen(stored["path"], "rb") as file:
        return file.read()


def file_digest(stored: Mapping[str, Any]) -> int:
    """A digest of a file's content; 0 if it is not read, or cannot be."""
    try:
        return 0 if is_remote(stored) else digest_of(file_of(stored))
    except (OSError, AttributeError, TypeError):
        return 0


def dated(rows: Dataset, column: str) -> Dataset:
    """The rows with a fingerprint that changes with the size and the times of the files that they name.

    What `datasets` caches about the rows is found by their fingerprint, which knows a file by its path alone.
    """
    found = hashlib.sha256()
    named = False
    undecoded = as_files(rows.select_columns([column]), column)
    for batch in undecoded.with_format("arrow").iter(batch_size=1000):
        cells = batch[column].combine_chunks()
        for path in cells.field("path").filter(cells.field("bytes").is_null()).to_pylist():
            with contextlib.suppress(OSError, ValueError, TypeError):
                state = os.stat(path)
                found.update(repr((path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)).encode())
                named = True
    if not named:
        return rows
    rows = copy.copy(rows)
    rows._fingerprint = Hasher.hash((rows._fingerprint, found.hexdigest()))
    return rows


def path_of(stored: Any) -> str | None:
    """The path of a stored file; None for one without a file of its own."""
    return stored.get("path") if isinstance(stored, Mapping) else None


def is_empty(stored: Any) -> bool:
    """Whether a row has no file."""
    return not stored or (isinstance(stored, Mapping) and stored.get("bytes") is None and stored.get("path") is None)


def full_paths(rows: Any, role: str, column: str, folder: Path, medium: Medium, feature: Any) -> Any:
    """The rows with a column of paths made relative to this machine instead of to a folder; addresses stay.

    Args:
        feature: the type that rows of a stream get, which are not cast later.

    Raises:
        DataError: there is no file at the first path.
    """
    stream = isinstance(rows, IterableDataset)

    def one(path: str | None) -> dict[str, Any]:
        full = path if path is None or "://" in path else str(folder / path)
        return {column: {"bytes": None, "path": full} if stream else full}

    first = next((row[column] for row in islice(rows.select_columns([column]), 100) if row[column]), None)
    if first and "://" not in first and not (folder / first).is_file():
        raise DataError(
            f"data.columns.{role}: column {column!r} contains text ({first[:60]!r}) and there is no file "
            f"{str(folder / first)[:200]}; choose a column of {medium.name}s, or fix the paths"
        )
    features = Features({**rows.features, column: feature if stream else rows.features[column]})
    return rows.map(one, input_columns=[column], features=features)
