"""A linear probe and k-NN on fixed features, by cross-validation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, average_precision_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

FOLDS, NEIGHBOURS, MOST_ITERATIONS = 5, 5, 200
METRICS = {"classes": "accuracy", "labels": "average precision", "numbers": "R2"}


def kind(targets: np.ndarray) -> str:
    """What targets are: `classes`, `(N,)` integers; several `labels`, `(N, C)` of 0 and 1; or `numbers`."""
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        return "classes"
    return "labels" if targets.ndim == 2 and np.isin(targets, (0, 1)).all() else "numbers"


def linear_probe(features: np.ndarray, targets: np.ndarray, seed: int = 42, folds: int = FOLDS) -> float:
    """Logistic regression, or ridge regression for several labels and numbers, scored as by `score`."""
    model = LogisticRegression(max_iter=MOST_ITERATIONS) if kind(targets) == "classes" else Ridge()
    return score(targets, predicted(model, features, targets, seed, folds))


def nearest_neighbours(
    features: np.ndarray, targets: np.ndarray, seed: int = 42, folds: int = FOLDS, n_neighbors: int = NEIGHBOURS
) -> float:
    """The majority, or the mean, of the nearest rows, scored as by `score`; few rows have fewer neighbours."""
    few = min(n_neighbors, len(features) - -(-len(features) // folds))
    chosen = KNeighborsClassifier if kind(targets) == "classes" else KNeighborsRegressor
    return score(targets, predicted(chosen(few), features, targets, seed, folds))


def predicted(model: Any, features: np.ndarray, targets: np.ndarray, seed: int, folds: int) -> np.ndarray:
    """What a scikit-learn model predicts of each row, fitted on the other folds; shaped as the targets.

    Folds are shuffled, and stratified for a classifier. Features are standardised by the rows that the model is fitted on.

    Args:
        features: `(N, D)`, finite; N is at least `folds`, and for a classifier some class has as many rows.
    """
    folded = StratifiedKFold if is_classifier(model) else KFold
    # the matrices are small: threads would wait for one another, for a minute if the cores are busy
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digit does not matter for a rank
        warnings.filterwarnings("ignore", message="The least populated class")  # `checked` has said so
        return cross_val_predict(
            make_pipeline(StandardScaler(), model), features, targets, cv=folded(folds, shuffle=True, random_state=seed)
        )


def score(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Accuracy of classes, mean average precision of several labels, R2 of numbers (mean of their columns)."""
    if kind(targets) == "classes":
        return float(accuracy_score(targets, predictions))
    if kind(targets) == "labels":
        return float(average_precision_score(targets, predictions, average="macro"))
    return float(r2_score(targets, predictions))
