"""Rows that belong together, such as the recordings of a speaker or a patient's images: all of them are in one split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset

from hfft.data.named_domains import names_in
from hfft.data.rows_spec import Fold
from hfft.data.spec import Data
from hfft.data.splits import DRAWS, column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

if TYPE_CHECKING:
    from hfft.data.modality.base import Inputs

KEY = "data.columns.group"
TRIES = 200  # draws of groups of which that with the best proportions of classes is taken


def groups_of(
    rows: Dataset, whole: Dataset, columns: Mapping[str, str], data: Data, inputs: Inputs
) -> np.ndarray | None:
    """The number of each row's group, `(N,)`; None if the recipe names no groups.

    Args:
        rows: usable rows, whose column `row` counts those of `whole`.
        whole: the split of the data.
        columns: role -> column.

    Raises:
        DataError: there is no such column, a row has no group, or a file's name does not match.
    """
    name = data.columns.group
    if name is None:
        return None
    if len(name) > 2 and name[0] == name[-1] == "/":
        names = _of_files(rows, columns, name[1:-1], inputs)
    else:
        names = names_in(whole, name, KEY, data.train)[column(rows, "row").to_numpy()]
    return np.unique(names, return_inverse=True)[1]


def _of_files(rows: Dataset, columns: Mapping[str, str], pattern: str, inputs: Inputs) -> np.ndarray:
    role = next(iter(columns))
    stored = inputs.stored(rows.select_columns([columns[role]]), {role: columns[role]})
    found = []
    for row in stored:
        path = inputs.file((row[columns[role]],))
        match = None if path is None else re.search(pattern, PurePath(path).name)
        if match is None:
            what = (
                "a row has no file" if path is None else f"the name {PurePath(path).name!r} does not match /{pattern}/"
            )
            raise DataError(f"{KEY}: {what}; name a column, or a pattern that every file's name has")
        found.append(match.group(1) if match.re.groups else match.group(0))
    return np.array(found)


def set_groups_aside(
    rows: Dataset, shares: Mapping[str, float], groups: np.ndarray, meaning: Labels, seed: int
) -> dict[str, Dataset]:
    """Divide the rows into `train` and about these shares, no group in two of them; all keep the data's order.

    Of several draws of groups, the one is taken whose proportions of classes are nearest to those of the whole.

    Raises:
        DataError: there are too few groups.
    """
    labels = column(rows, "labels").to_numpy() if PROBLEMS[meaning.problem].classes else np.zeros(len(rows), int)
    counts = np.zeros((groups.max(initial=-1) + 1, labels.max(initial=0) + 1), int)
    np.add.at(counts, (groups, labels), 1)
    left, parts = np.arange(len(counts)), dict[str, np.ndarray]()
    for name, share in shares.items():
        if len(left) < 2:
            raise DataError(
                f"data.{name}: {len(counts)} groups of {KEY} are too few to set some aside; name a split, or leave the groups out"
            )
        parts[name] = _drawn(counts, left, share, np.random.default_rng((seed, DRAWS[name])))
        left = np.setdiff1d(left, parts[name])
    chosen = {"train": left, **parts}
    return {name: rows.select(np.flatnonzero(np.isin(groups, some))) for name, some in chosen.items()}


def _drawn(counts: np.ndarray, left: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The groups of a share: of the draws from `left`, the one with the best proportions that leaves train every class it can."""
    wanted, best, least = share * counts.sum(0), left[:1], np.inf
    whole = counts[left].sum(0)
    for _ in range(TRIES):
        order = rng.permutation(left)
        totals = counts[order].sum(1).cumsum()
        size = min(max(int(np.abs(totals - wanted.sum()).argmin()) + 1, 1), len(order) - 1)
        inside = counts[order[:size]].sum(0)
        gone = int(((inside == whole) & (whole > 0)).sum())  # classes of which nothing would be left to train on
        cost = float(np.abs(inside - wanted).sum()) + gone * counts.sum()
        if cost < least:
            best, least = order[:size], cost
    return np.sort(best)


def fold_of_groups(rows: Dataset, fold: Fold, groups: np.ndarray, meaning: Labels) -> tuple[Dataset, Dataset]:
    """The rows outside of a fold and those in it, no group in both (scikit-learn's `StratifiedGroupKFold`, or `GroupKFold`).

    Raises:
        DataError: there are fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    if (found := len(np.unique(groups))) < fold.of:
        raise DataError(f"data.fold: {found} groups of {KEY} cannot be divided into {fold.of} folds; use fewer")
    if PROBLEMS[meaning.problem].classes:
        labels = column(rows, "labels").to_numpy()
        parts = list(StratifiedGroupKFold(fold.of, shuffle=True, random_state=fold.seed).split(labels, labels, groups))
    else:
        parts = list(GroupKFold(fold.of, shuffle=True, random_state=fold.seed).split(groups, groups=groups))
    outside, inside = parts[fold.number - 1]
    return rows.select(np.sort(outside)), rows.select(np.sort(inside))
