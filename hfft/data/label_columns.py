"""A label that is spread over several columns: one for each class, or for each number to predict."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import datasets
import pyarrow as pa
from datasets import Dataset, Features, IterableDataset

from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.spec import as_list
from hfft.wording import listing, nearest

AnyRows = TypeVar("AnyRows", Dataset, IterableDataset)
FEATURE = datasets.List(datasets.Value("string"))


def label_columns(features: Mapping[str, Any], data: Data, taken: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that `data.columns.label` lists or matches, in its order; those of `data.classes` if that is set.

    Args:
        taken: role -> column, for the other roles.

    Returns:
        Nothing if the recipe names one column, or none.

    Raises:
        DataError: there is no such column, it has another role, or `data.classes` names others.
    """
    if not data.columns.several_labels:
        return ()
    found: list[str] = []
    for entry in as_list(data.columns.label):
        pattern = entry.startswith("/") and entry not in features
        matches = [name for name in features if re.search(entry.strip("/"), name)] if pattern else [entry]
        for name in matches:
            role = next((role for role, column in taken.items() if column == name), None)
            if role is not None:
                raise DataError(
                    f"data.columns.label: column {name!r} is already used for {role}; leave it out of {entry}"
                )
        if not matches or matches[0] not in features:
            what = f"no column matches {entry}" if pattern else f"no column {entry!r}{nearest(entry, features)}"
            raise DataError(f"data.columns.label: {what} (train has: {listing(features)})")
        found += [name for name in matches if name not in found]
    for name in data.classes or ():
        if name not in found:
            raise DataError(
                f"data.classes: no column {name!r}{nearest(name, found)} in data.columns.label, which are {listing(found)}"
            )
    return tuple(data.classes or found)


def present(features: Mapping[str, Any], names: Sequence[str], split: str) -> bool:
    """Whether a split has these columns; a held-out split may lack them all.

    Raises:
        DataError: it has only some, or train lacks one.
    """
    missing = [name for name in names if name not in features]
    if missing and (split == "train" or len(missing) < len(names)):
        raise DataError(
            f"data.columns.label: no column {missing[0]!r} in split {split}{nearest(missing[0], features)} "
            f"(it has: {listing(features)})"
        )
    return not missing


def join(rows: AnyRows, names: Sequence[str], into: str) -> AnyRows:
    """The rows with one column `into` in place of these: a list of cells, as texts, or None where a cell is empty."""
    if isinstance(rows, Dataset):
        table = rows.select_columns(list(names)).with_format("arrow")[:]
        cells = zip(*(table[name].to_pylist() for name in names), strict=True)
        merged = pa.array([list(map(_text, row)) for row in cells], pa.list_(pa.string()))
        return rows.remove_columns(list(names)).add_column(into, merged)

    def one(*cells: Any) -> dict[str, Any]:
        return {into: list(map(_text, cells))}

    kept = {name: feature for name, feature in (rows.features or {}).items() if name not in names}
    given = list(names)
    return rows.map(one, input_columns=given, remove_columns=given, features=Features({**kept, into: FEATURE}))


def _text(cell: Any) -> str | None:
    """A cell as text: `true`, `1`, `0.5`; None if it is empty."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    return (str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()) or None
