"""Gradient-boosted trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from hfft.classifier.linear import of_two


@dataclass(frozen=True)
class Trees:
    """A sum of decision trees, all their nodes one after the other.

    Attributes:
        roots: first node of each tree `(T,)`.
        outputs: the output that each tree adds to `(T,)`.
        feature, threshold, left, right, value: of each node; the children of a leaf are itself.
        baseline: `(P,)`, what the trees are added to.
        classes: number of classes; 0 for a regression.
    """

    roots: np.ndarray
    outputs: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    baseline: np.ndarray
    classes: int

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)`: the raw predictions of scikit-learn; values `(N, 1)` of a regression."""
        found = np.tile(self.baseline, (len(x), 1))
        rows = np.arange(len(x))
        for root, output in zip(self.roots, self.outputs, strict=True):
            at = np.full(len(x), root)
            while True:
                left = x[rows, self.feature[at]] <= self.threshold[at]
                below = np.where(left, self.left[at], self.right[at])
                if np.array_equal(below, at):
                    break
                at = below
            found[:, output] += self.value[at]
        return of_two(found[:, 0]) if self.classes == 2 else found


def fit(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Trees:
    """Trees on histograms of the features; the probabilities are its own.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`.
        arguments: of scikit-learn's HistGradientBoostingClassifier.
    """
    return _trees(HistGradientBoostingClassifier(random_state=seed, **arguments).fit(x, y), len(np.unique(y)))


def fit_regression(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Trees:
    """The same for values `(N,)`."""
    return _trees(HistGradientBoostingRegressor(random_state=seed, **arguments).fit(x, y), 0)


def _trees(found: HistGradientBoostingClassifier | HistGradientBoostingRegressor, classes: int) -> Trees:
    trees = [(k, tree.nodes) for step in found._predictors for k, tree in enumerate(step)]
    roots = np.cumsum([0, *(len(nodes) for _, nodes in trees)])
    nodes = np.concatenate([nodes for _, nodes in trees])
    own = np.arange(len(nodes))
    first = np.repeat(roots[:-1], np.diff(roots))
    leaf = nodes["is_leaf"].astype(bool)
    return Trees(
        roots=roots[:-1],
        outputs=np.array([k for k, _ in trees]),
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        left=np.where(leaf, own, first + nodes["left"].astype(np.int64)),
        right=np.where(leaf, own, first + nodes["right"].astype(np.int64)),
        value=nodes["value"].astype(np.float64),
        baseline=np.asarray(found._baseline_prediction, np.float64).reshape(-1),
        classes=classes,
    )
