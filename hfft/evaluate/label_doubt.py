"""Rows whose label is probably wrong, by confident learning (Northcutt, Jiang & Chuang 2021)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

FOLDS = 5
WIDEST = 512  # dimensions of the features that a regression is fitted on
GRID = (1e-3, 1e-2, 1e-1, 1.0)  # of C, the inverse strength of the penalty


@dataclass(frozen=True)
class Doubted:
    """The rows whose labels are doubted, the most doubted first.

    Attributes:
        rows: their numbers, `(K,)`.
        suggested: the class that each probably has, `(K,)`.
        confidence: the probability of that class, `(K,)`.
        own: the probability of the given class, `(K,)`, ascending.
    """

    rows: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray
    own: np.ndarray


def folds(labels: np.ndarray, same: np.ndarray, seed: int, count: int = FOLDS) -> np.ndarray:
    """The fold of each row, `(N,)`: stratified, with equal rows in one fold, so that none is judged by its own copy.

    Args:
        labels: classes `(N,)`.
        same: a number of the row's content, `(N,)`.
    """
    rng, found = np.random.default_rng(seed), np.empty(len(labels), np.int64)
    for one in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == one))
        found[places] = (np.arange(len(places)) + rng.integers(count)) % count
    _, first, inverse = np.unique(same, return_index=True, return_inverse=True)
    return found[first[inverse]]


def prepared(features: np.ndarray) -> np.ndarray:
    """Features centred and scaled by one number; of more than WIDEST the principal components, which are faster to fit."""
    x = np.asarray(features, float) - features.mean(0)
    if x.shape[1] > WIDEST:
        directions = np.linalg.eigh(x.T @ x)[1][:, -WIDEST:]
        x = x @ directions
    return x / max(float(np.sqrt((x**2).mean())), 1e-12)


def out_of_fold(features: np.ndarray, labels: np.ndarray, fold: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities `(N, C)` of each row by logistic regression on the rows of the other folds.

    The penalty is the one of GRID with the lowest loss on the first fold; features are those of `prepared`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    x = prepared(features)

    def judged(number: int, c: float) -> np.ndarray:
        outside = fold != number
        known = np.unique(labels[outside])
        p = np.zeros((int((~outside).sum()), classes))
        if len(known) == 1:
            p[:, known] = 1.0
        else:
            solver = LogisticRegression(C=c, max_iter=100).fit(x[outside], labels[outside])
            p[:, known] = solver.predict_proba(x[~outside])
        return p

    def loss(c: float) -> float:
        own = judged(first, c)[np.arange(int((fold == first).sum())), labels[fold == first]]
        return float(-np.log(np.maximum(own, 1e-12)).mean())

    found, first = np.zeros((len(x), classes)), int(fold.min())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        c = min(GRID, key=loss)
        for number in np.unique(fold):
            found[fold == number] = judged(int(number), c)
    return found


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Numbers of rows `(C, C)` by given class and by the class that they confidently have.

    A row confidently has the likeliest of the classes whose probability reaches the mean over the rows that are given this
    class; a row without such a class is not counted.
    """
    classes = probabilities.shape[1]
    thresholds = np.array(
        [probabilities[labels == one, one].mean() if (labels == one).any() else np.inf for one in range(classes)]
    )
    reached = probabilities >= thresholds
    likeliest = np.where(reached, probabilities, -1).argmax(1)
    counted = reached.any(1)
    return np.bincount(labels[counted] * classes + likeliest[counted], minlength=classes**2).reshape(classes, classes)


def expected_errors(joint: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many rows of each given class probably have another, `(C,)`: the joint scaled to the rows of each class."""
    totals, given = joint.sum(1), np.bincount(labels, minlength=len(joint))
    wrong = totals - np.diagonal(joint)
    return np.divide(wrong * given, totals, out=np.zeros(len(joint)), where=totals > 0)


def doubted(probabilities: np.ndarray, labels: np.ndarray) -> Doubted:
    """Of each class the rows with the least probability of it, as many as are expected to be wrong (pruning by class).

    Rows whose given class is still the likeliest are not doubted.

    Args:
        probabilities: `(N, C)`, of models that have not seen the row.
        labels: given classes `(N,)`.
    """
    own = probabilities[np.arange(len(labels)), labels]
    likeliest = probabilities.argmax(1)
    wrong = expected_errors(confident_joint(probabilities, labels), labels).round().astype(int)
    chosen = [np.empty(0, np.int64)]
    for one, count in enumerate(wrong):
        rows = np.flatnonzero(labels == one)
        chosen.append(rows[np.argsort(own[rows], kind="stable")][:count])
    rows = np.concatenate(chosen)
    rows = rows[likeliest[rows] != labels[rows]]
    rows = rows[np.argsort(own[rows], kind="stable")]
    return Doubted(rows, likeliest[rows], probabilities[rows, likeliest[rows]], own[rows])
