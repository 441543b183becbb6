"""Images as files: their content, a digest of it, and when they last changed."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Mapping
from typing import Any

import datasets
from datasets import Dataset
from datasets.fingerprint import Hasher
from datasets.utils.file_utils import xopen

from hfft.data.audit import digest_of


def is_remote(stored: Mapping[str, Any]) -> bool:
    """Whether an image has a web address, so that it is not read before it is needed."""
    return stored["bytes"] is None and stored["path"].startswith(("http://", "https://", "hf://"))


def file_of(stored: Mapping[str, Any]) -> bytes:
    """An image's file."""
    if stored["bytes"] is not None:
        return stored["bytes"]
    with xopen(stored["path"], "rb") as file:
        return file.read()


def file_digest(stored: Mapping[str, Any]) -> int:
    """A digest of an image's file; 0 if it is not read, or cannot be."""
    try:
        return 0 if is_remote(stored) else digest_of(file_of(stored))
    except (OSError, AttributeError, TypeError):
        return 0


def dated(rows: Dataset, column: str) -> Dataset:
    """The rows with a fingerprint that changes with the size and the times of the image files that they name.

    What `datasets` caches about the rows is found by their fingerprint, which knows a file by its path alone.
    """
    found = hashlib.sha256()
    named = False
    undecoded = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
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
