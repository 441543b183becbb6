"""Logistic regression, and linear support vector machines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from hfft.classifier.linear import Linear, of_decisions

GRID = tuple(np.logspace(-6, 5, 45).tolist())  # of C: Kornblith et al. 2019
SVM_GRID = tuple(np.logspace(-4, 1, 11).tolist())


def fit(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Linear:
    """Multinomial logistic regression by L-BFGS; the probabilities are its own.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`.
        arguments: of scikit-learn's LogisticRegression.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly no regularisation: it ends at max_iter
        found = LogisticRegression(**{"max_iter": 1000} | dict(arguments)).fit(x, y)
    return of_decisions(found.coef_, found.intercept_)


def fit_svm(x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], seed: int) -> Linear:
    """One linear support vector machine per class against the others; probabilities are the softmax of decision values.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`.
        arguments: of scikit-learn's LinearSVC.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver = LinearSVC(random_state=seed, **arguments).fit(x, y)
    return of_decisions(solver.coef_, solver.intercept_)
