"""JSON files whose rows are under a key (`data.field`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDatasetDict

from hfft.data.spec import Data
from hfft.data.tables.dialect import head_text
from hfft.data.tables.endings import open_bytes
from hfft.errors import DataError
from hfft.wording import first_line, listing, nearest


def load(splits: Mapping[str, Sequence[Path]], data: Data) -> DatasetDict | IterableDatasetDict:
    """Every split, from the rows under the key `data.field` of its files, read as a whole.

    Raises:
        DataError: a file is no JSON object, has no such key, or no rows under it.
    """
    read = {split: [row for file in files for row in rows_of(file, data)] for split, files in splits.items()}
    loaded = {}
    for split, rows in read.items():
        try:
            loaded[split] = Dataset.from_list(rows)
        except pa.ArrowInvalid as error:
            raise DataError(f"data set {data.path}: the rows of {split} are not alike ({first_line(error)})") from error
    if data.streaming:
        return IterableDatasetDict({split: rows.to_iterable_dataset() for split, rows in loaded.items()})
    return DatasetDict(loaded)


def rows_of(file: Path, data: Data) -> list[dict[str, Any]]:
    """The rows under a key, which may be several of nested objects, joined by dots; columns of lists are turned into rows."""
    assert data.field is not None
    encoding = head_text(file, data.encoding)[1]
    with open_bytes(file) as opened:
        try:
            found = json.loads(opened.read().decode({"utf-8": "utf-8-sig"}.get(encoding, encoding)))
        except ValueError as error:
            raise DataError(f"{file}: is not one JSON object, as data.field needs ({first_line(error)})") from error
    parts = [data.field] if isinstance(found, dict) and data.field in found else data.field.split(".")
    for i, part in enumerate(parts):
        if not isinstance(found, dict) or part not in found:
            where = f"under {'.'.join(parts[:i])!r}" if i else f"in {file}"
            there = f"it has: {listing(found)}" if isinstance(found, dict) else f"there is a {_kind(found)}"
            hint = nearest(part, found) if isinstance(found, dict) else ""
            raise DataError(f"data.field: no key {part!r} {where}{hint} ({there})")
        found = found[part]
    if isinstance(found, dict) and found and all(isinstance(column, list) for column in found.values()):
        if len({len(column) for column in found.values()}) > 1:
            raise DataError(f"data.field: the columns under {data.field!r} in {file} differ in length; fix the file")
        return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return found
    keys = f"; it has the keys {listing(found)}" if isinstance(found, dict) else ""
    raise DataError(
        f"data.field: {data.field!r} in {file} is a {_kind(found)}, not a list of rows{keys}; name the key of the rows"
    )


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {_kind(value[0])}s" if value else "list without rows"
    return {dict: "JSON object", str: "text", bool: "truth value", type(None): "null"}.get(type(value), "number")
