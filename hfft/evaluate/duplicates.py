"""Rows that occur more than once: by the digests of their content, and nearly by their features."""

from __future__ import annotations

import numpy as np

NEAR = 0.98  # cosine similarity of centred features from which rows are near-duplicates
AT_ONCE = 500  # rows that are compared with all earlier ones together


def exact(digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the content of an earlier one, and the first row that each is a copy of; `(K,)` each.

    Args:
        digests: `(N,)`; 0 where the content is not known.
    """
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    origin = first[inverse]
    rows = np.flatnonzero((origin < np.arange(len(digests))) & (digests != 0))
    return rows, origin[rows]


def near(
    features: np.ndarray, preferred: int = 0, threshold: float = NEAR
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose features are like those of an earlier one, the most similar earlier one, and the similarity; `(K,)` each.

    Args:
        features: `(N, D)`. Their mean is subtracted first, since features of many models share a large common part.
        preferred: number of first rows, those of train: a later row that is like one of them is told beside this one.
        threshold: the least cosine similarity.
    """
    centred = np.asarray(features, np.float32) - np.asarray(features, np.float32).mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    best, of = np.full(len(centred), -2.0, np.float32), np.zeros(len(centred), np.int64)
    for begin in range(0, len(centred), AT_ONCE):
        some = centred[begin : begin + AT_ONCE]
        similar = some @ centred[: begin + len(some)].T
        later = np.arange(similar.shape[1])[None] >= (begin + np.arange(len(some)))[:, None]
        similar[later] = -2
        if preferred:
            similar[similar[:, :preferred].max(1) >= threshold, preferred:] = -2
        of[begin : begin + len(some)] = similar.argmax(1)
        best[begin : begin + len(some)] = similar.max(1)
    rows = np.flatnonzero(best >= threshold)
    return rows, of[rows], np.minimum(best[rows].astype(float), 1.0)
