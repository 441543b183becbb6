"""Ridge regression, and classification by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier

from hfft.classifier.linear import Linear, of_decisions

GRID = tuple(np.logspace(-4, 5, 19).tolist())  # of alpha


def fit(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Linear:
    """Ridge regression on targets of -1 and 1 per class; probabilities are the softmax (or sigmoid) of decision values.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`, or `(N, C)` of 0 and 1 for several labels per row.
        arguments: of scikit-learn's RidgeClassifier.
    """
    found = RidgeClassifier(**arguments).fit(x, y)
    if y.ndim > 1:  # one decision value per label
        return Linear(np.atleast_2d(found.coef_), np.atleast_1d(found.intercept_))
    return of_decisions(np.atleast_2d(found.coef_), np.atleast_1d(found.intercept_))


def fit_regression(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Linear:
    """Ridge regression of values `(N, C)`."""
    arguments = {key: value for key, value in arguments.items() if key != "class_weight"}
    found = Ridge(**arguments).fit(x, y)
    return Linear(np.atleast_2d(found.coef_), np.atleast_1d(found.intercept_))
