"""Columns of the data that no role needs, such as those that divide the rows into groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import datasets

from hfft.data.load import Splits
from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.data.splits import choose, column
from hfft.errors import DataError
from hfft.wording import listing, nearest

NONE = "(none)"  # the name of the group of rows without a value


def check_columns(key: str, names: Sequence[str], splits: Splits) -> None:
    """Check that each held-out split has these columns.

    Args:
        key: where the recipe names them, for messages.

    Raises:
        DataError: one is missing.
    """
    for split, there in splits.offered.items():
        for name in names if split != "train" else ():
            if name not in there:
                raise DataError(
                    f"{key}: no column {name!r} in split {split}{nearest(name, there)} (it has: {listing(there)})"
                )


def values_of(key: str, data: Data, splits: Splits, split: str, name: str) -> list[Any]:
    """The values of a column of the data for the rows of a split, in their order; names of classes as text.

    Args:
        key: where the recipe names the column, for messages.

    Raises:
        DataError: there is no such column, or it holds neither words nor numbers.
        BadInput, HubError: the data cannot be read.
    """
    raw = load_raw(data).splits
    named = dict(zip(("train", "validation", "test"), choose(list(raw), data), strict=True))
    whole = raw[str(named[splits.source.get(split, split)])]
    if name not in whole.features:
        raise DataError(
            f"{key}: no column {name!r} in split {split}{nearest(name, whole.features)} (it has: {listing(whole.features)})"
        )
    feature = whole.features[name]
    if not isinstance(feature, datasets.Value | datasets.ClassLabel) or "binary" in str(feature.dtype):
        raise DataError(f"{key}: column {name!r} has type {feature}; choose one of words or numbers")
    rows = dict(splits.items())[split]
    numbers = column(cast(datasets.Dataset, rows), "row").to_numpy()
    found = column(whole, name).take(numbers).to_pylist()
    return (
        [feature.int2str(value) if value is not None and value >= 0 else None for value in found]
        if isinstance(feature, datasets.ClassLabel)
        else found
    )
