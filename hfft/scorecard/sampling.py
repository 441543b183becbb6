"""Which rows a block runs the model on, where there are many."""

from __future__ import annotations

import numpy as np


def sampled(count: int, most: int, seed: int) -> np.ndarray:
    """At most `most` row numbers of `count`, in ascending order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def steady(ids: np.ndarray, most: int) -> np.ndarray:
    """At most `most` places of rows by their ids `(N,)`, in ascending order: nearly the same rows of nearly the same set.

    Runs of other seeds, folds or sizes can then share what is computed of them.
    """
    if len(ids) <= most:
        return np.arange(len(ids))
    ranks = np.random.default_rng(0).random(int(ids.max()) + 1)[ids]
    return np.sort(np.argsort(ranks, kind="stable")[:most])


def stratified(classes: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Numbers of at most `most` rows in ascending order, in the proportions of their classes `(N,)`."""
    if len(classes) <= most:
        return np.arange(len(classes))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]  # by class, mixed within each
    places = ((np.arange(most) + rng.random()) * (len(classes) / most)).astype(np.int64)
    return np.sort(order[places])
