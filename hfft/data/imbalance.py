"""Cut the training rows of classes to an exponential profile, the usual long tail (Cui et al. 2019, arXiv:1901.05555)."""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from hfft.data.class_counts import SHOWN
from hfft.data.splits import column
from hfft.errors import DataError
from hfft.tasks.labels import Labels
from hfft.wording import listing

_DRAW = 9  # other draws than those of `splits` and `label_noise` under the same seed


def profile(counts: np.ndarray, ratio: float) -> np.ndarray:
    """Rows that each class keeps of its `counts` `(C,)`: `n * ratio^(-i / (C - 1))` for class i, n of the largest class.

    A class keeps one row at least, and all where it has fewer than the profile allows.
    """
    wanted = counts.max() * ratio ** (-np.arange(len(counts)) / max(len(counts) - 1, 1))
    return np.minimum(counts, np.maximum(np.floor(wanted + 1e-9).astype(int), 1))


def cut(rows: Dataset, ratio: float | None, meaning: Labels, seed: int) -> tuple[Dataset, dict[str, tuple[int, int]]]:
    """The training rows that remain, in their order, and class -> (its rows before, after); nothing at ratio 1.

    Which rows of a class remain depends on the seed and their numbers alone, and those of a larger ratio are among those
    of a smaller one.

    Raises:
        DataError: nothing would be cut, because later classes are already smaller.
    """
    if ratio is None or ratio == 1:
        return rows, {}
    labels, numbers = column(rows, "labels").to_numpy(), column(rows, "row").to_numpy()
    before = np.bincount(labels, minlength=meaning.size)
    after = profile(before, ratio)
    if (after == before).all():
        raise DataError(
            f"data.imbalance: {ratio:g} cuts no class of train, whose later classes are already as small; "
            "raise it, or leave it out"
        )
    rank = np.random.default_rng((seed, _DRAW)).random(int(numbers.max()) + 1)[numbers]
    kept = [
        of_class[np.argsort(rank[of_class], kind="stable")[:most]]
        for i, most in enumerate(after)
        if len(of_class := np.flatnonzero(labels == i))
    ]
    counts = {name: (int(a), int(b)) for name, a, b in zip(meaning.names, before, after, strict=True)}
    return rows.select(np.sort(np.concatenate(kept))), counts


def imbalance_note(ratio: float, counts: dict[str, tuple[int, int]]) -> str:
    """What the user reads about training rows that were cut: the rows of every class."""
    before, after = (sum(pair[i] for pair in counts.values()) for i in (0, 1))
    classes = listing([f"{name!r:.30} {new} of {old}" for name, (old, new) in counts.items()], SHOWN)
    return f"split train: {after} of {before} rows are used on purpose (data.imbalance={ratio:g}): {classes}"
