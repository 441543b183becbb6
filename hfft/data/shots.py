"""Train on a few rows of each class, as in few-shot learning: balanced, and the same rows whatever `training.seed` is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from datasets import Dataset

from hfft.data.class_counts import SHOWN
from hfft.data.spec import Data
from hfft.data.splits import column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.wording import listing

_DRAW = 13  # other draws than those of `splits`, `imbalance` and `label_noise` under the same seed


def chosen(rows: Dataset, data: Data, meaning: Labels) -> Dataset:
    """`data.shots` rows of each class, in their order.

    A row's rank in its class depends on `data.shots_seed` and its number alone, and the first of each class are taken: the
    rows of fewer shots are among those of more, and a class has the same rows beside other classes.

    Args:
        rows: all training rows, before any are set aside for a held-out split.

    Raises:
        DataError: a class has fewer rows, or `data.max_train_samples` does not allow as many.
    """
    assert data.shots is not None
    labels, numbers = column(rows, "labels").to_numpy(), column(rows, "row").to_numpy()
    counts = np.bincount(labels, minlength=meaning.size)
    short = [f"{meaning.names[i]!r:.30} ({counts[i]})" for i in np.flatnonzero(counts < data.shots)]
    if short:
        raise DataError(
            f"data.shots: {data.shots} rows of each class are more than train has of {listing(short, SHOWN)}; lower it, "
            "or leave these classes out of data.classes"
        )
    if data.max_train_samples is not None and data.max_train_samples < data.shots * meaning.size:
        raise DataError(
            f"data.shots: {data.shots} rows of each of {meaning.size} classes are {data.shots * meaning.size}, more than "
            f"data.max_train_samples={data.max_train_samples}; leave one of them out"
        )
    rank = np.random.default_rng((data.shots_seed, _DRAW)).random(int(numbers.max()) + 1)[numbers]
    order = np.lexsort((rank, labels))  # class by class, by rank
    first = np.cumsum(counts) - counts
    return rows.select(np.sort(np.concatenate([order[start : start + data.shots] for start in first])))


def without(chosen: Dataset, held_out: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The splits that were set aside from train, without the rows that are trained on.

    Raises:
        DataError: nothing is left of a split.
    """
    taken, left = column(chosen, "row").to_numpy(), {}
    for name, rows in held_out.items():
        others = np.flatnonzero(~np.isin(column(rows, "row").to_numpy(), taken))
        if not len(others):
            raise DataError(
                f"data.{name}: data.shots takes all of its rows; name a split, lower data.shots, or use none"
            )
        left[name] = rows.select(others) if len(others) < len(rows) else rows
    return left


def check_complete(counts: Mapping[str, int], shots: int, seed: int) -> None:
    """Raise DataError if a class lost rows that cannot be used.

    Args:
        counts: class -> its usable rows among those that were chosen.
    """
    short = [f"{name!r:.30} ({count})" for name, count in counts.items() if count < shots]
    if short:
        raise DataError(
            f"data.shots: of the {shots} rows that data.shots_seed={seed} draws of each class, some cannot be used: "
            f"{listing(short, SHOWN)}; fix them, or use another data.shots_seed"
        )


def shots_note(shots: int, seed: int, classes: int, whole: int) -> str:
    """What the user reads about training rows that were left out."""
    return (
        f"split train: {shots} rows of each of {classes} classes are used, {shots * classes} of {whole} "
        f"(data.shots={shots}, data.shots_seed={seed})"
    )
