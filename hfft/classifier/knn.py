"""The k nearest training rows vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfft.classifier.distances import distances

BLOCK = 2**24  # distances that are held at once, 128 MB
LEAST = 1e-12  # probability of a class without a vote, so that its logarithm is finite


@dataclass(frozen=True)
class Neighbours:
    """All training rows and what they vote for.

    Attributes:
        rows: `(N, D)`.
        votes: classes `(N,)`, 0 and 1 `(N, C)`, or values `(N, C)`.
        size: number of outputs C.
        regression: whether the votes are values.
        n_neighbors, weights, metric: as for scikit-learn's KNeighborsClassifier.
    """

    rows: np.ndarray
    votes: np.ndarray
    size: int
    regression: bool
    n_neighbors: int
    weights: str
    metric: str

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)`: logarithms (or logits, of several labels) of the shares of votes; of a regression the mean values."""
        size = max(1, BLOCK // len(self.rows))
        shares = np.concatenate(
            [self._shares(x[i : i + size]) for i in range(0, len(x), size)] or [np.zeros((0, self.size))]
        )
        if self.regression:
            return shares
        shares = np.clip(shares, LEAST, None)
        return np.log(shares) if self.votes.ndim == 1 else np.log(shares) - np.log(np.clip(1 - shares, LEAST, None))

    def _shares(self, x: np.ndarray) -> np.ndarray:
        near, far = self._nearest(x)
        if self.weights == "distance":
            with np.errstate(divide="ignore"):
                weights = 1 / far
            same = np.isinf(weights)  # an equal training row outvotes all others
            weights = np.where(same.any(axis=1, keepdims=True), same, weights).astype(np.float64)
        else:
            weights = np.ones(near.shape)
        votes = np.eye(self.size)[self.votes[near]] if self.votes.ndim == 1 else self.votes[near].astype(np.float64)
        return np.einsum("nk,nkc->nc", weights, votes) / weights.sum(axis=1, keepdims=True)

    def _nearest(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and distances of the nearest rows, both `(N, n_neighbors)`."""
        rows = np.asarray(self.rows, np.float64)
        metric = "sqeuclidean" if self.metric == "euclidean" else self.metric  # the order is the same
        found = distances(x, rows, metric)
        near = np.sort(np.argpartition(found, self.n_neighbors - 1, axis=1)[:, : self.n_neighbors], axis=1)
        if self.metric != "euclidean":
            return near, np.take_along_axis(found, near, axis=1)
        # once more as differences: as squares and a product, the distance of equal rows is not exactly 0
        far = np.stack([np.linalg.norm(x - rows[near[:, k]], axis=1) for k in range(self.n_neighbors)], axis=1)
        return near, far


def fit(
    x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int, *, regression: bool = False
) -> Neighbours:
    """The training rows themselves; probabilities are shares of votes.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`, 0 and 1 `(N, C)`, or values `(N, C)`.
        arguments: of scikit-learn's KNeighborsClassifier.
    """
    short = x.astype(np.float32)
    return Neighbours(
        rows=short if np.array_equal(short, x) else x,
        votes=y if regression else y.astype(np.int64),
        size=int(y.max()) + 1 if y.ndim == 1 else y.shape[1],
        regression=regression,
        n_neighbors=int(arguments.get("n_neighbors", 5)),
        weights=arguments.get("weights", "uniform"),
        metric=arguments.get("metric", "euclidean"),
    )
