"""Core-set: rows such that every row has a labelled one nearby (greedy k-centre; Sener and Savarese 2018, arXiv:1708.00489)."""

from __future__ import annotations

import numpy as np

AT_ONCE = 128  # labelled rows whose distances to all others are in memory together


def core_set(features: np.ndarray, labelled: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers `(n,)` of the rows to label, in the order of choice, and the distance of each to those before it `(n,)`.

    Each is the row farthest from all labelled and chosen ones, which covers all rows within twice the smallest possible
    radius. Without labelled rows the first is the one nearest to the mean, at distance infinity.

    Args:
        features: `(N, D)` of the unlabelled rows.
        labelled: `(M, D)` of the labelled ones; M may be 0.
        n: at most N.
    """
    x = np.asarray(features, np.float64)
    nearest = np.full(len(x), np.inf)
    for begin in range(0, len(labelled), AT_ONCE):
        np.minimum(nearest, _distances(x, np.asarray(labelled[begin : begin + AT_ONCE], np.float64)), out=nearest)
    chosen, radius = np.empty(n, np.int64), np.empty(n)
    left = np.ones(len(x), bool)
    for i in range(n):
        first = i == 0 and not len(labelled)
        score = -_distances(x, x.mean(0)[None]) if first else nearest
        chosen[i] = np.flatnonzero(left)[score[left].argmax()]
        radius[i], left[chosen[i]] = nearest[chosen[i]], False
        np.minimum(nearest, _distances(x, x[chosen[i]][None]), out=nearest)
    return chosen, radius


def _distances(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The Euclidean distance of each of `(N, D)` to the nearest of `(M, D)`: `(N,)`."""
    if len(centres) == 1:  # exact, so that a row is at distance 0 of itself
        return np.sqrt(((x - centres[0]) ** 2).sum(1))
    squares = (x**2).sum(1)[:, None] - 2 * x @ centres.T + (centres**2).sum(1)
    return np.sqrt(np.maximum(squares.min(1), 0))
