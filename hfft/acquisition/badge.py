"""BADGE: rows with large and different gradients of the head's last layer (Ash et al. 2020, arXiv:1906.03671)."""

from __future__ import annotations

import numpy as np


class GradientEmbeddings:
    """The gradient of the last layer's weight for each row, if the class predicted were its label: `(N, C * D)`.

    It is the outer product of the probabilities less the one-hot prediction and the features, so that lengths and distances
    follow from those of the two factors, and the product is never stored.

    Args:
        probabilities: `(N, C)`.
        features: `(N, D)`, the inputs of the layer.
    """

    def __init__(self, probabilities: np.ndarray, features: np.ndarray):
        self.errors = np.array(probabilities, np.float64)
        self.errors[np.arange(len(self.errors)), self.errors.argmax(1)] -= 1
        self.features = np.asarray(features, np.float64)
        self.squares = (self.errors**2).sum(1) * (self.features**2).sum(1)  # (N,) squared lengths

    def squared_distances(self, row: int) -> np.ndarray:
        """To one row, `(N,)`."""
        products = (self.errors @ self.errors[row]) * (self.features @ self.features[row])
        return np.maximum(self.squares + self.squares[row] - 2 * products, 0)


def badge(probabilities: np.ndarray, features: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers `(n,)` of the rows to label, in the order of choice, and the length of each one's gradient `(n,)`.

    The centres of k-means++ on the gradients: first the longest, as in the authors' code, then each with a probability
    proportional to its squared distance from those before it.

    Args:
        probabilities, features: as in `GradientEmbeddings`.
        n: at most N.
    """
    gradients, rng = GradientEmbeddings(probabilities, features), np.random.default_rng((seed, 15))
    chosen = np.empty(n, np.int64)
    chosen[0] = gradients.squares.argmax()
    nearest = gradients.squared_distances(chosen[0])
    left = np.ones(len(nearest), bool)
    for i in range(1, n):
        left[chosen[i - 1]] = False
        weights = np.where(left, nearest, 0.0)
        if not weights.sum() > 0:  # all that are left equal one that is chosen
            weights = left.astype(float)
        chosen[i] = rng.choice(len(nearest), p=weights / weights.sum())
        nearest = np.minimum(nearest, gradients.squared_distances(chosen[i]))
    return chosen, np.sqrt(gradients.squares[chosen])
