"""Easy transfer learning: target rows are given to class centres by a linear programme (Wang et al. 2019, arXiv:1904.01376)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from hfft.classifier.distances import distances
from hfft.errors import BadInput


@dataclass(frozen=True)
class EasyTL:
    """Class centres of the source rows, and a price per class: a row goes where distance minus price is least.

    Attributes:
        centres: `(C, D)`.
        prices: `(C,)`, 0 for a class that its own rows choose; see `prices`.
        metric: of `distances`.
        scale: mean distance of the target rows to their class, at which the odds fall by e.
    """

    centres: np.ndarray
    prices: np.ndarray
    metric: str
    scale: float

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)` for rows `(N, D)`. Of the target rows that it was fitted with, the greatest is the programme's answer."""
        return (self.prices - distances(x, self.centres, self.metric)) / self.scale


def fit(
    x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int, *, target: np.ndarray | None = None
) -> EasyTL:
    """The centres of labelled source rows, and the prices at which every class gets at least one target row.

    Probabilities are the softmax of prices minus distances, over the mean distance of a target row to its class.

    Args:
        x: source rows `(N, D)`.
        y: their classes `(N,)`.
        target: target rows `(M, D)`.

    Raises:
        BadInput: fewer target rows than classes, so that not every class can have one.
    """
    assert target is not None
    centres = np.stack([x[y == k].mean(axis=0) for k in range(y.max() + 1)])
    if len(target) < len(centres):
        raise BadInput(
            f"classifier: easytl gives every class at least one target row, but there are {len(target)} target rows for "
            f"{len(centres)} classes; give more in data.sets.target, or use nearest-centroid"
        )
    metric = arguments.get("metric", "euclidean")
    costs = distances(target, centres, metric)
    classes = assign(costs).argmax(axis=1)
    scale = float(costs[np.arange(len(costs)), classes].mean())
    return EasyTL(centres, prices(costs, classes), metric, scale or 1.0)


def assign(costs: np.ndarray) -> np.ndarray:
    """The matrix M `(M, C)` of least `sum(costs * M)` with rows that sum to 1, entries from 0 to 1, columns of at least 1.

    If every class is the nearest of some row, giving each row to its nearest class satisfies all constraints and is the
    least that any choice could cost, so that no programme need be solved. The constraints are sparse: two entries per
    variable. Their matrix is totally unimodular, and a simplex method ends at a vertex: entries are 0 or 1.

    Args:
        costs: distance of each target row to each class centre, `(M, C)` with M >= C.
    """
    nearest = costs.argmin(axis=1)
    if len(np.unique(nearest)) == costs.shape[1]:
        return np.eye(costs.shape[1])[nearest]
    return solve(costs)


def solve(costs: np.ndarray) -> np.ndarray:
    """`assign` by the linear programme, whatever the nearest classes are."""
    rows, classes = costs.shape
    of_row = sparse.kron(sparse.eye(rows), np.ones((1, classes)), format="csr")
    of_class = sparse.kron(np.ones((1, rows)), sparse.eye(classes), format="csr")
    found = linprog(
        costs.ravel(), -of_class, -np.ones(classes), of_row, np.ones(rows), bounds=(0, 1), method="highs-ds"
    )
    if found.x is None:
        raise BadInput(f"classifier: the linear programme of easytl has no solution: {found.message}")
    return found.x.reshape(rows, classes)


def prices(costs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """A price per class `(C,)`, at least 0, so that each row's `costs - prices` is least for the class that it was given.

    They are the dual solution of the programme, in the middle: rows are as far as possible from going elsewhere. So a new
    row can be classified by itself, and the given ones stay where they are. Only the row that is closest to leaving a
    class for another matters, for each pair of classes.

    Args:
        costs: `(M, C)`.
        classes: the class given to each row, `(M,)`.
    """
    size = costs.shape[1]
    priced = (
        np.bincount(classes, minlength=size) == 1
    )  # by complementary slackness a class with more rows costs nothing
    if np.array_equal(classes, costs.argmin(axis=1)):
        return np.zeros(size)
    own = costs[np.arange(len(costs)), classes]
    unequal, bounds = [], []
    for a in range(size):
        gaps = (costs[classes == a] - own[classes == a, None]).min(axis=0)
        for c in range(size):
            if c != a and (priced[a] or priced[c]):  # gap - price c + price a >= margin
                line = np.zeros(size + 1)
                line[c], line[a], line[size] = 1, -1, 1
                unequal.append(line)
                bounds.append(gaps[c])
    limits = [(0, None if one else 0) for one in priced] + [(0, float(costs.max() - costs.min()))]
    found = linprog(-np.eye(size + 1)[size], np.array(unequal), np.array(bounds), bounds=limits, method="highs")
    return np.zeros(size) if found.x is None else found.x[:size]
