"""Distances of rows to points, in NumPy."""

from __future__ import annotations

import numpy as np


def distances(x: np.ndarray, points: np.ndarray, metric: str) -> np.ndarray:
    """`(N, P)`: distance of each row of `x` `(N, D)` to each point `(P, D)`.

    Args:
        metric: `euclidean`, `sqeuclidean`, `manhattan` or `cosine` (1 minus the cosine), as SciPy names them.
    """
    if metric == "manhattan":
        return np.stack([np.abs(x - point).sum(axis=1) for point in points], axis=1)
    if metric == "cosine":
        return 1 - unit(x) @ unit(points).T
    squared = np.square(x).sum(axis=1)[:, None] - 2 * (x @ points.T) + np.square(points).sum(axis=1)
    squared = np.maximum(squared, 0)
    return squared if metric == "sqeuclidean" else np.sqrt(squared)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows at length 1; rows of zeros stay."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(lengths == 0, 1.0, lengths)
