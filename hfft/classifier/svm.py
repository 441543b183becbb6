"""Support vector machines with a kernel."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.svm import SVC, SVR

from hfft.classifier.distances import distances
from hfft.classifier.linear import of_two

GRID = (0.1, 1.0, 10.0, 100.0)  # of C
BLOCK = 2**24  # kernel values that are held at once


@dataclass(frozen=True)
class KernelMachine:
    """Decision values `kernel(x, vectors) @ weights + bias`, one per pair of classes, or the value of a regression.

    Attributes:
        vectors: support vectors `(S, D)`.
        weights: `(S, P)`.
        bias: `(P,)`.
        classes: number of classes; 0 for a regression.
        kernel, gamma, degree, coef0, break_ties: as for scikit-learn's SVC.
    """

    vectors: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    classes: int
    kernel: str
    gamma: float
    degree: int
    coef0: float
    break_ties: bool

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)`: scikit-learn's decision values, one per class, whose greatest is its prediction; values `(N, 1)`."""
        size = max(1, BLOCK // max(1, len(self.vectors)))
        blocks = [self._kernel(x[i : i + size]) @ self.weights for i in range(0, len(x), size)]
        pairs = np.concatenate(blocks or [np.zeros((0, len(self.bias)))]) + self.bias
        if self.classes == 0:
            return pairs
        return of_two(pairs[:, 0]) if self.classes == 2 else one_per_class(pairs, self.classes, self.break_ties)

    def _kernel(self, x: np.ndarray) -> np.ndarray:
        if self.kernel == "rbf":
            return np.exp(-self.gamma * distances(x, self.vectors, "sqeuclidean"))
        product = x @ self.vectors.T
        if self.kernel == "linear":
            return product
        inner = self.gamma * product + self.coef0
        return np.tanh(inner) if self.kernel == "sigmoid" else inner**self.degree


def one_per_class(pairs: np.ndarray, classes: int, break_ties: bool) -> np.ndarray:
    """Values per class `(N, C)` from those of pairs `(N, C (C - 1) / 2)`: votes, and within a third of one, confidence.

    Without `break_ties` the first of the classes with most votes wins, as in libsvm: it changes places with the most
    confident of them.
    """
    votes, sums = np.zeros((len(pairs), classes)), np.zeros((len(pairs), classes))
    for p, (i, j) in enumerate(itertools.combinations(range(classes), 2)):
        second = pairs[:, p] < 0
        votes[:, i] += ~second
        votes[:, j] += second
        sums[:, i] += pairs[:, p]
        sums[:, j] -= pairs[:, p]
    values = votes + sums / (3 * (np.abs(sums) + 1))
    if not break_ties:
        rows, first, best = np.arange(len(pairs)), votes.argmax(axis=1), values.argmax(axis=1)
        values[rows, first], values[rows, best] = values[rows, best], values[rows, first]
    return values


def fit(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> KernelMachine:
    """One support vector machine per pair of classes; probabilities are the softmax of the decision values per class.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`.
        arguments: of scikit-learn's SVC.
    """
    found = SVC(**{key: value for key, value in arguments.items() if key != "epsilon"}).fit(x, y)
    classes = len(found.classes_)
    if classes == 2:
        weights = found.dual_coef_.T
    else:
        # libsvm keeps for each vector of class i its coefficients against the other classes, in their order
        ends = np.cumsum(found.n_support_)
        parts = [slice(end - size, end) for end, size in zip(ends, found.n_support_, strict=True)]
        weights = np.zeros((len(found.support_), classes * (classes - 1) // 2))
        for p, (i, j) in enumerate(itertools.combinations(range(classes), 2)):
            weights[parts[i], p] = found.dual_coef_[j - 1, parts[i]]
            weights[parts[j], p] = found.dual_coef_[i, parts[j]]
    return _machine(found, weights, classes)


def fit_regression(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> KernelMachine:
    """Support vector regression of values `(N,)`."""
    given = {key: value for key, value in arguments.items() if key not in ("class_weight", "break_ties")}
    found = SVR(**given).fit(x, y)
    return _machine(found, found.dual_coef_.T, 0)


def _machine(found: SVC | SVR, weights: np.ndarray, classes: int) -> KernelMachine:
    return KernelMachine(
        vectors=found.support_vectors_,
        weights=np.asarray(weights),
        bias=found.intercept_,
        classes=classes,
        kernel=found.kernel,
        gamma=float(found._gamma),
        degree=int(found.degree),
        coef0=float(found.coef0),
        break_ties=bool(getattr(found, "break_ties", False)),
    )
