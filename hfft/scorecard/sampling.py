"""Which rows a block runs the model on, where there are many."""

from __future__ import annotations

import numpy as np


def sampled(count: int, most: int, seed: int) -> np.ndarray:
    """At most `most` row numbers of `count`, in ascending order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def stratified(classes: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Numbers of at most `most` rows in ascending order, in the proportions of their classes `(N,)`."""
    if len(classes) <= most:
        return np.arange(len(classes))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]  # by class, mixed within each
    places = ((np.arange(most) + rng.random()) * (len(classes) / most)).astype(np.int64)
    return np.sort(order[places])
