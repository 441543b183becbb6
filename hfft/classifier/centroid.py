"""Classes by their means: nearest centroid, and the prototypes of few-shot learning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.neighbors import NearestCentroid

from hfft.classifier.distances import distances
from hfft.classifier.linear import Linear


@dataclass(frozen=True)
class Centroids:
    """The nearer a class's point, the more probable the class: logits are `-distance / scale`.

    Attributes:
        points: `(C, D)`.
        metric: of `distances`.
        scale: the distance at which the odds fall by e.
    """

    points: np.ndarray
    metric: str
    scale: float

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)` for rows `(N, D)`."""
        return -distances(x, self.points, self.metric) / self.scale


def linear(points: np.ndarray, scale: float) -> Linear:
    """The linear model with the softmax of `-|x - point|^2 / scale`: the square of x is common to all classes."""
    return Linear(2 * points / scale, -np.square(points).sum(axis=1) / scale)


def fit(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Linear | Centroids:
    """scikit-learn's NearestCentroid.

    Probabilities are those of classes of equal size that are spread around their centroids alike in all directions:
    Gaussians for `euclidean`, Laplace distributions for `manhattan`, as wide as the training rows are.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the centroids of manhattan, which are medians
        found = NearestCentroid(**arguments).fit(x, y)
    points = np.asarray(found.centroids_, np.float64)
    if arguments.get("metric") == "manhattan":
        spread = float(np.abs(x - points[y]).mean())
        return Centroids(points, "manhattan", spread or 1.0)
    spread = float(np.square(x - points[y]).mean())
    return linear(points, 2 * (spread or 1.0))


def fit_prototype(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Linear | Centroids:
    """The mean of each class; probabilities are the softmax of negative squared distances (Snell et al. 2017) or cosines.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`.
    """
    points = np.stack([x[y == k].mean(axis=0) for k in range(y.max() + 1)])
    scale = float(arguments.get("temperature", 1.0))
    if arguments.get("metric") == "cosine":
        return Centroids(points, "cosine", scale)
    return linear(points, scale)
