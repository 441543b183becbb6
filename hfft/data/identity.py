"""What identifies prepared rows, and the length of each: needed to store what a model computes from them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset

WHOLE = 2 * 10**9  # size in bytes up to which a table is read in full; for a larger one its fingerprint is used


def identity(rows: Any) -> str:
    """A digest of everything that the rows' inputs depend on, except augmentation.

    Raises:
        TypeError: the content of this type of rows cannot be digested.
    """
    if hasattr(rows, "identity"):
        return rows.identity()
    if isinstance(rows, Dataset):
        return table_digest(rows)
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise TypeError(f"rows of type {type(rows).__name__}")
    found = hashlib.sha256()
    for row in rows:
        for name, value in row.items():
            array = torch.as_tensor(value).numpy()
            found.update(repr((name, array.dtype.str, array.shape)).encode() + array.tobytes())
    return found.hexdigest()


def token_counts(rows: Any, views: int = 0) -> np.ndarray | None:
    """Number of tokens of each row, `(len(rows),)`, or of each of its augmented views; None if rows are not tokens."""
    if views and hasattr(rows, "view_lengths"):
        return rows.view_lengths(views)
    if hasattr(rows, "lengths"):
        return rows.lengths
    if isinstance(rows, Dataset) and "input_ids" in rows.column_names:
        column = rows.select_columns(["input_ids"]).with_format("arrow")[:]["input_ids"]
        return pc.list_value_length(column).to_numpy().astype(np.int64)
    if isinstance(rows, list) and rows and "input_ids" in rows[0]:
        return np.array([len(row["input_ids"]) for row in rows], np.int64)
    return None


def table_digest(rows: Dataset) -> str:
    """A digest of a table's content; above 2 GB, of how it was made."""
    found = hashlib.sha256(repr((len(rows), rows.column_names)).encode())
    if rows.data.nbytes > WHOLE:
        found.update(rows._fingerprint.encode())
        return found.hexdigest()
    for table in rows.with_format("arrow").iter(batch_size=1000):
        batch, sink = table.combine_chunks(), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema.remove_metadata()) as writer:
            writer.write_table(batch.replace_schema_metadata())
        found.update(sink.getvalue())
    return found.hexdigest()


def settings_of(processor: Any) -> str:
    """All settings of a processor, as JSON."""
    settings = processor.to_dict() if hasattr(processor, "to_dict") else vars(processor)
    return json.dumps({"class": type(processor).__name__, **settings}, sort_keys=True, default=str)
