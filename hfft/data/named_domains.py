"""Names of domains from a column's values, and the rows of the one that is held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from datasets import Dataset

from hfft.data.spec import Data
from hfft.data.splits import column
from hfft.errors import DataError
from hfft.wording import listing, nearest

KEY = "data.columns.domain"


def as_names(values: Sequence[Any], name: str, key: str = KEY) -> np.ndarray:
    """The values of a column as names, `(N,)`.

    Args:
        key: where the recipe names the column, for messages.

    Raises:
        DataError: a row has none.
    """
    empty = [i for i, value in enumerate(values) if value is None or not str(value).strip()]
    if empty:
        raise DataError(
            f"{key}: {len(empty)} of {len(values)} rows have no value in column {name!r}, the first is row "
            f"{empty[0]}; fill them in, or leave these rows out"
        )
    return np.array([str(value) for value in values])


def check_column(whole: Dataset, data: Data) -> None:
    """Check that the rows have the column of domains that the recipe names, of words or numbers.

    Raises:
        DataError: they have not.
    """
    if data.columns.domain is not None:
        _check(whole, data.columns.domain, KEY, data.train)


def _check(whole: Dataset, name: str, key: str, split: str) -> None:
    if name not in whole.features:
        raise DataError(
            f"{key}: no column {name!r} in split {split}{nearest(name, whole.features)} "
            f"(it has: {listing(whole.features)})"
        )
    feature = whole.features[name]
    if not isinstance(feature, datasets.Value | datasets.ClassLabel) or "binary" in str(feature.dtype):
        raise DataError(f"{key}: column {name!r} has type {feature}; choose one of words or numbers")


def domains_of(whole: Dataset, data: Data) -> np.ndarray:
    """The name of each row's domain in a split of the data, `(N,)`.

    Raises:
        DataError: there is no column of domains, or a row has none.
    """
    assert data.columns.domain is not None
    return names_in(whole, data.columns.domain, KEY, data.train)


def names_in(whole: Dataset, name: str, key: str, split: str) -> np.ndarray:
    """The values of a column of words or numbers as names, `(N,)`.

    Args:
        key: where the recipe names the column, for messages.
        split: the split of the data, for messages.

    Raises:
        DataError: there is no such column, or a row has no value.
    """
    _check(whole, name, key, split)
    values = column(whole, name).to_pylist()
    feature = whole.features[name]
    if isinstance(feature, datasets.ClassLabel):
        values = [feature.int2str(value) if value is not None and value >= 0 else None for value in values]
    return as_names(values, name, key)


def held_out_apart(rows: Dataset, whole: Dataset, data: Data) -> tuple[Dataset, Dataset]:
    """The rows of all other domains and those of `data.held_out_domain`, both in the data's order.

    Args:
        rows: usable rows, whose column `row` counts those of `whole`.
        whole: the split of the data.

    Raises:
        DataError: there is no such column or domain, or nothing would be left to train on.
    """
    name, wanted = data.columns.domain, data.held_out_domain
    assert wanted is not None
    domains = domains_of(whole, data)
    known = sorted(set(domains.tolist()))
    if wanted not in known:
        raise DataError(
            f"data.held_out_domain: is {wanted!r}{nearest(wanted, known)}, but column {name!r} has: {listing(known)}"
        )
    if len(known) < 2:
        raise DataError(
            f"data.held_out_domain: {wanted!r} is the only domain in column {name!r}, so that nothing is left to train on"
        )
    inside = domains[column(rows, "row").to_numpy()] == wanted
    return rows.select(np.flatnonzero(~inside)), rows.select(np.flatnonzero(inside))
