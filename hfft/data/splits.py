"""Choose the train, validation and test splits, set aside rows of train for missing ones, and sample from large splits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from hfft.data.rows_spec import Fold
from hfft.data.spec import NONE, Data
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.tasks.measure import FEW
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing, nearest

DEFAULT_VALIDATION = 0.1
_VALIDATION = ("validation", "valid", "val", "dev")
DRAWS = {"validation": 1, "test": 2, "train": 3}  # makes their draws differ under the same seed


def choose(there: Sequence[str], data: Data) -> tuple[str, str | float | None, str | float | None]:
    """Names of the train, validation and test splits, or the share of train to use instead of one; None for no split.

    Raises:
        DataError: a split does not exist, or the shares leave nothing to train on.
    """
    for role in ("train", "validation", "test"):
        name = getattr(data, role)
        if isinstance(name, str) and name not in there and (role == "train" or name != NONE):
            raise DataError(f"data.{role}: no split {name!r}{nearest(name, there)} {data.path} has: {listing(there)}")
    validation, test = data.validation, data.test
    off = [role for role in ("validation", "test") if getattr(data, role) == NONE]
    if validation is None:
        found = [name for name in _VALIDATION if name in there and name not in (data.train, data.test)]
        validation = found[0] if found else None if data.streaming or data.labels == NONE else DEFAULT_VALIDATION
    if test is None and "test" in there and data.train != "test":
        test = "test"
    if isinstance(validation, float) and isinstance(test, float) and validation + test >= 1:
        raise DataError(
            f"data.validation: {validation} and data.test {test} of train leave no rows to train on; lower one"
        )
    return data.train, None if "validation" in off else validation, None if "test" in off else test


def default_note(rows: int, whole: int) -> str:
    """What a user should know of a validation split that the recipe did not ask for.

    Args:
        rows, whole: its number of rows, and those of train before it was set aside.
    """
    little = f"; figures on {rows} rows say little" if rows < FEW else ""
    return (
        f"validation: {rows} of {whole} rows of train are set aside, since data.validation is not set; "
        f"name a split or a share, or none to train on all rows{little}"
    )


def column(rows: Dataset, name: str) -> Any:
    """One column as Arrow, without reading the others: images are large."""
    return rows.select_columns([name]).with_format("arrow")[:][name]


def set_aside(rows: Dataset, shares: dict[str, float], meaning: Labels, seed: int) -> dict[str, Dataset]:
    """Divide the rows into `train` and these shares, with the same proportions of classes; all keep the data's order.

    The last row of a class always stays in train.

    Raises:
        DataError: a split would be empty.
    """
    groups = _classes(rows, meaning)
    sizes, parts, left = np.array([len(group) for group in groups]), {}, groups
    for name, share in shares.items():
        rng = np.random.default_rng((seed, DRAWS[name]))
        most = np.array([len(group) - 1 for group in left])
        counts = _portions(sizes, share, most, rng)
        if not counts.sum():
            raise DataError(
                f"data.{name}: {share} of {len(rows)} rows leaves a split empty; use another share or a split"
            )
        taken = [rng.permutation(group)[:count] for group, count in zip(left, counts, strict=True)]
        left = [np.setdiff1d(group, gone) for group, gone in zip(left, taken, strict=True)]
        parts[name] = rows.select(np.sort(np.concatenate(taken)))
    return {"train": rows.select(np.sort(np.concatenate(left))), **parts} if parts else {"train": rows}


def fold_apart(rows: Dataset, fold: Fold, meaning: Labels) -> tuple[Dataset, Dataset]:
    """The rows outside of a fold and those in it, both in the data's order; stratified where there are classes.

    Each row is in one of the folds of a seed (scikit-learn's `StratifiedKFold`, or `KFold` without classes).

    Raises:
        DataError: a class has a single row, or there are fewer rows than folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    if len(rows) < fold.of:
        raise DataError(f"data.fold: {len(rows)} rows cannot be divided into {fold.of} folds; use fewer")
    groups = _classes(rows, meaning)
    if PROBLEMS[meaning.problem].classes:
        labels = column(rows, "labels").to_numpy()
        single = [meaning.names[labels[group[0]]] for group in groups if len(group) == 1]
        if single:
            raise DataError(
                f"data.fold: class {listing(single)} has a single row, which cannot be in train and in a fold; add rows, or "
                f"leave it out with data.classes"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class with fewer rows than folds is absent from some of them
            try:
                parts = list(StratifiedKFold(fold.of, shuffle=True, random_state=fold.seed).split(labels, labels))
            except ValueError:  # every class has fewer rows than there are folds
                most = max(map(len, groups))
                raise DataError(f"data.fold: no class has more than {most} rows; use at most {most} folds") from None
    else:
        parts = list(KFold(fold.of, shuffle=True, random_state=fold.seed).split(np.arange(len(rows))))
    outside, inside = parts[fold.number - 1]
    return rows.select(np.sort(outside)), rows.select(np.sort(inside))


def fold_origin(fold: Fold, train: str, meaning: Labels) -> dict[str, str]:
    """The origins of the splits that a fold makes.

    Args:
        train: the split that is divided.
    """
    stratified = ", stratified" if PROBLEMS[meaning.problem].classes else ""
    which = f"fold {fold.number} of {fold.of}"
    return {"train": f"{train} without {which}", "test": f"{which} of {train}{stratified}, seed {fold.seed}"}


def sample(rows: Dataset, cap: int, split: str, meaning: Labels, seed: int) -> Dataset:
    """Choose `cap` rows: from train, equally from every class; from another split, in its own proportions.

    Raises:
        DataError: train would have fewer rows than classes.
    """
    groups = _classes(rows, meaning)
    rng = np.random.default_rng((seed, 3 + DRAWS[split]))
    drawn = [rng.permutation(group) for group in groups]
    if split != "train":
        sizes = np.array([len(group) for group in groups])
        counts = _portions(sizes, cap / len(rows), sizes, rng)
        return rows.select(np.sort(np.concatenate([group[:n] for group, n in zip(drawn, counts, strict=True)])))
    if cap < len(groups):
        raise DataError(
            f"data.max_train_samples: {cap} rows cannot include all {len(groups)} classes of train; raise it"
        )
    turns = np.concatenate([np.arange(len(group)) for group in drawn])
    order = np.lexsort((rng.random(len(turns)), turns))
    return rows.select(np.sort(np.concatenate(drawn)[order[:cap]]))


def _classes(rows: Dataset, meaning: Labels) -> list[np.ndarray]:
    """The rows of each class that has any; without classes, all rows in one group."""
    if not PROBLEMS[meaning.problem].classes:
        return [np.arange(len(rows))]
    labels = column(rows, "labels").to_numpy()
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _portions(sizes: np.ndarray, share: float, most: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many rows of each group to take for `share` of all: within one of its exact share, and at most `most`."""
    exact = share * sizes
    counts = np.minimum(np.floor(exact).astype(int), most)
    left = max(1, round(share * int(sizes.sum()))) - int(counts.sum())  # remaining after rounding down
    order = np.lexsort((rng.random(len(sizes)), counts - exact))  # largest remainders first
    order = order[(most > counts)[order]]
    counts[order[: max(left, 0)]] += 1
    return counts
