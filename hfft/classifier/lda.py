"""Linear discriminant analysis."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from hfft.classifier.linear import Linear, of_decisions


def fit(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Linear:
    """Gaussian classes of one covariance; the probabilities are its own.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`.
        arguments: of scikit-learn's LinearDiscriminantAnalysis.
    """
    given = dict(arguments)
    if "shrinkage" in given:
        given.setdefault("solver", "lsqr")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Variables are collinear")  # normal for the features of a network
        found = LinearDiscriminantAnalysis(**given).fit(x, y)
    return of_decisions(np.atleast_2d(found.coef_), np.atleast_1d(found.intercept_))
