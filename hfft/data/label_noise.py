"""Give rows wrong labels on purpose, in shares that the recipe states, to see how a way of learning bears them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.fingerprint import Hasher

from hfft.data.rows_spec import LabelNoise
from hfft.data.splits import column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.wording import listing, nearest

_DRAWS = {"train": 10, "validation": 11, "test": 12}  # other draws than those of `splits` under the same seed


def with_noise(
    splits: dict[str, Dataset], noise: LabelNoise | None, meaning: Labels, seed: int
) -> tuple[dict[str, Dataset], dict[str, int]]:
    """The splits with labels changed at random, and split -> number of rows whose label was changed.

    What happens to a row depends on the seed, its split and its number alone, and rows changed at one share are among those
    changed at a larger one.

    Raises:
        DataError: a class does not exist.
    """
    if noise is None:
        return splits, {}
    chances, found, counts = transitions(noise, meaning), dict(splits), dict[str, int]()
    for name in noise.splits:
        if name not in splits or not np.any(chances != np.eye(meaning.size)):
            continue
        rows = splits[name]
        labels = column(rows, "labels").to_numpy()
        given = noisy(labels, column(rows, "row").to_numpy(), chances, (seed, _DRAWS[name]))
        counts[name] = int((given != labels).sum())
        found[name] = _with_labels(rows, given)
    return found, counts


def transitions(noise: LabelNoise, meaning: Labels) -> np.ndarray:
    """`(C, C)`: the probability that a row of class i is labelled j; rows sum to 1.

    Raises:
        DataError: a class does not exist.
    """
    size, names = meaning.size, meaning.names
    if noise.asymmetric is None:
        share = noise.symmetric if noise.symmetric is not None else noise.pair or 0.0
        other = (1 - np.eye(size)) / (size - 1) if noise.symmetric is not None else np.roll(np.eye(size), 1, 1)
        return (1 - share) * np.eye(size) + share * other
    found = np.zeros((size, size))
    for name, others in noise.asymmetric.items():
        for one in (name, *others):
            if one not in names:
                there = f"{nearest(one, names)} (there are: {listing(names, 20)})"
                raise DataError(f"data.label_noise.asymmetric: no class {one!r} in the data{there}")
        for second, chance in others.items():
            found[names.index(name), names.index(second)] = chance
    return found + np.diag(1 - found.sum(1))


def noisy(labels: np.ndarray, rows: np.ndarray, chances: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """Labels `(N,)` drawn from the row of `chances` `(C, C)` of each label, with a draw for each row number `(N,)`."""
    # generators are prefix-stable: a row's draws do not depend on how many rows there are
    change, which = (np.random.default_rng((*seed, i)).random(int(rows.max(initial=-1)) + 1)[rows] for i in (0, 1))
    given = labels.copy()
    for name in np.unique(labels):
        others = np.where(np.arange(len(chances)) == name, 0.0, chances[name])
        hit = np.flatnonzero((labels == name) & (change < others.sum()))
        if len(hit):
            steps = np.cumsum(others) / others.sum()
            given[hit] = np.searchsorted(steps, which[hit], side="right")
    return given


def _with_labels(rows: Dataset, labels: np.ndarray) -> Dataset:
    """The rows with other labels. The column of the whole table is replaced: in chosen rows that would copy images."""
    chosen = None if rows._indices is None else rows._indices.column(0).to_numpy()
    before = rows.data.column("labels")
    absent = before.is_null().to_numpy()  # rows of classes that the recipe leaves out
    every = before.fill_null(0).to_numpy().copy()
    every[slice(None) if chosen is None else chosen] = labels
    table = Dataset(rows.data, info=rows.info.copy(), split=rows.split, fingerprint=Hasher.hash(rows._fingerprint))
    changed = table.remove_columns("labels").add_column("labels", pa.array(every, mask=absent))
    return changed if chosen is None else changed.select(chosen)


def noise_note(split: str, changed: int, rows: int) -> str:
    """What the user reads about a split with wrong labels."""
    return f"split {split}: {changed} of {rows} rows have a wrong label on purpose (data.label_noise)"
