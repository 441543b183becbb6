"""Which splits play train, validation and test, which rows of train stand in for one, and which are left of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing, nearest

DEFAULT_VALIDATION = 0.1
_VALIDATION = ("validation", "valid", "val", "dev")
_DRAWS = {"validation": 1, "test": 2, "train": 3}  # apart from one another under one seed


def choose(there: Sequence[str], data: Data) -> tuple[str, str | float | None, str | float | None]:
    """Names of the train, validation and test splits, or the share of train that stands in for one.

    Raises:
        DataError: no such split, or shares that leave nothing to train on.
    """
    for role in ("train", "validation", "test"):
        name = getattr(data, role)
        if isinstance(name, str) and name not in there:
            raise DataError(f"data.{role}: no split {name!r}{nearest(name, there)} {data.path} has: {listing(there)}")
    validation, test = data.validation, data.test
    if validation is None:
        found = [name for name in _VALIDATION if name in there and name not in (data.train, data.test)]
        validation = found[0] if found else None if data.streaming else DEFAULT_VALIDATION
    if test is None and "test" in there and data.train != "test":
        test = "test"
    if isinstance(validation, float) and isinstance(test, float) and validation + test >= 1:
        raise DataError(
            f"data.validation: {validation} and data.test {test} of train leave no rows to train on; lower one"
        )
    return data.train, validation, test


def column(rows: Dataset, name: str) -> Any:
    """One column as Arrow, without touching the others: images are large."""
    return rows.select_columns([name]).with_format("arrow")[:][name]


def set_aside(rows: Dataset, shares: dict[str, float], meaning: Labels, seed: int) -> dict[str, Dataset]:
    """The rows split into `train` and these shares of them, in every class alike; all in the data's order.

    No share takes the last row of a class.

    Raises:
        DataError: a split would be empty.
    """
    groups = _classes(rows, meaning)
    sizes, parts, left = np.array([len(group) for group in groups]), {}, groups
    for name, share in shares.items():
        rng = np.random.default_rng((seed, _DRAWS[name]))
        most = np.array([len(group) - 1 for group in left])
        counts = _portions(sizes, share, most, rng)
        if not counts.sum():
            raise DataError(
                f"data.{name}: {share} of {len(rows)} rows leaves a split empty; name another share or a split"
            )
        taken = [rng.permutation(group)[:count] for group, count in zip(left, counts, strict=True)]
        left = [np.setdiff1d(group, gone) for group, gone in zip(left, taken, strict=True)]
        parts[name] = rows.select(np.sort(np.concatenate(taken)))
    return {"train": rows.select(np.sort(np.concatenate(left))), **parts} if parts else {"train": rows}


def sample(rows: Dataset, cap: int, split: str, meaning: Labels, seed: int) -> Dataset:
    """`cap` of the rows: of train drawn in turn from every class, of another split in the proportions it has.

    Raises:
        DataError: fewer rows of train than classes.
    """
    groups = _classes(rows, meaning)
    rng = np.random.default_rng((seed, 3 + _DRAWS[split]))
    drawn = [rng.permutation(group) for group in groups]
    if split != "train":
        sizes = np.array([len(group) for group in groups])
        counts = _portions(sizes, cap / len(rows), sizes, rng)
        return rows.select(np.sort(np.concatenate([group[:n] for group, n in zip(drawn, counts, strict=True)])))
    if cap < len(groups):
        raise DataError(f"data.max_train_samples: {cap} rows cannot hold the {len(groups)} classes of train; raise it")
    turns = np.concatenate([np.arange(len(group)) for group in drawn])
    order = np.lexsort((rng.random(len(turns)), turns))
    return rows.select(np.sort(np.concatenate(drawn)[order[:cap]]))


def _classes(rows: Dataset, meaning: Labels) -> list[np.ndarray]:
    """The rows of each class that has any; where there are no classes, all in one."""
    if not PROBLEMS[meaning.problem].classes:
        return [np.arange(len(rows))]
    labels = column(rows, "labels").to_numpy()
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _portions(sizes: np.ndarray, share: float, most: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many of each group make up `share` of all: within one of its own share, and never more than its room."""
    exact = share * sizes
    counts = np.minimum(np.floor(exact).astype(int), most)
    left = max(1, round(share * int(sizes.sum()))) - int(counts.sum())  # rounding down left these over
    order = np.lexsort((rng.random(len(sizes)), counts - exact))  # to the largest remainders
    order = order[(most > counts)[order]]
    counts[order[: max(left, 0)]] += 1
    return counts
