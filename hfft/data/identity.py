"""What identifies prepared rows, and the length of each: needed to store what a model computes from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset

from hfft.data.modality.image import ImageRows
from hfft.data.texts import TextRows

WHOLE = 2 * 10**9  # size in bytes up to which a table is read in full; for a larger one its fingerprint is used


def identity(rows: Any) -> str:
    """A digest of everything that the rows' inputs depend on, except augmentation.

    Raises:
        TypeError: the content of this type of rows cannot be digested.
    """
    found = hashlib.sha256()
    if isinstance(rows, ImageRows):
        _add_table(found, rows.rows)
        found.update(repr((rows.step.column, _plain(rows.step.processor))).encode())
    elif isinstance(rows, TextRows):
        _add_table(found, rows.rows)
    elif isinstance(rows, Dataset):
        _add_table(found, rows)
    elif isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        for row in rows:
            for name, value in row.items():
                array = torch.as_tensor(value).numpy()
                found.update(repr((name, array.dtype.str, array.shape)).encode() + array.tobytes())
    else:
        raise TypeError(f"rows of type {type(rows).__name__}")
    return found.hexdigest()


def token_counts(rows: Any) -> np.ndarray | None:
    """Number of tokens of each row, `(len(rows),)`; None if rows are not tokens."""
    if isinstance(rows, TextRows):
        return rows.lengths
    if isinstance(rows, Dataset) and "input_ids" in rows.column_names:
        column = rows.select_columns(["input_ids"]).with_format("arrow")[:]["input_ids"]
        return pc.list_value_length(column).to_numpy().astype(np.int64)
    if isinstance(rows, list) and rows and "input_ids" in rows[0]:
        return np.array([len(row["input_ids"]) for row in rows], np.int64)
    return None


def _add_table(found: Any, rows: Dataset) -> None:
    found.update(repr((len(rows), rows.column_names)).encode())
    if rows.data.nbytes > WHOLE:
        found.update(rows._fingerprint.encode())
        return
    for batch in _batches(rows):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema.remove_metadata()) as writer:
            writer.write_table(batch.replace_schema_metadata())
        found.update(sink.getvalue())


def _batches(rows: Dataset) -> Iterator[pa.Table]:
    yield from (table.combine_chunks() for table in rows.with_format("arrow").iter(batch_size=1000))


def _plain(processor: Any) -> str:
    settings = processor.to_dict() if hasattr(processor, "to_dict") else vars(processor)
    return json.dumps({"class": type(processor).__name__, **settings}, sort_keys=True, default=str)
