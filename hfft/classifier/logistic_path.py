"""Logistic regression along a grid of C: each fit starts at the one before it, in coordinates in which L-BFGS needs few steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.utils.class_weight import compute_sample_weight

from hfft.classifier.linear import Linear, of_decisions

TOL = 1e-4  # of the gradient, scikit-learn's default; a tenth of it for the decrease of the loss


def path(
    x: np.ndarray, y: np.ndarray, arguments: Mapping[str, Any], key: str, grid: Sequence[float]
) -> Iterator[Linear]:
    """The models along a grid of C, close to scikit-learn's.

    The objective is scikit-learn's: the mean loss plus `|W|² / (2 C N)`, the intercept free. Features are centred, rotated to
    their principal axes, which changes neither, and scaled by the inverse root of the curvature along each, whatever C is.

    Args:
        x: `(N, D)`.
        y: classes `(N,)`, or 0 and 1 `(N, C)` for several labels, each a logistic regression of its own.
        key: always `C`.
    """
    several, two = y.ndim > 1, y.ndim == 1 and y.max() == 1
    truth = y if several else y[:, None] if two else np.eye(int(y.max()) + 1)[y]
    rows, outputs = truth.shape
    shares = _weights(y, arguments.get("class_weight")) / rows
    mean = x.mean(axis=0)
    curvature, axes = np.linalg.eigh((x - mean).T @ (x - mean) / rows)
    turned = ((x - mean) @ axes).astype(np.float32)
    # of the second derivative of the loss, at even odds
    share = 0.25 if several or two else (1 - 1 / outputs) / outputs
    weight, bias = np.zeros((x.shape[1], outputs)), np.zeros(outputs)
    tol = arguments.get("tol", TOL)
    for value in grid:
        penalty = 1 / (value * rows)
        scale = 1 / np.sqrt(share * np.maximum(curvature, 0) + penalty)[:, None]
        objective = _Objective(turned * scale[:, 0].astype(np.float32), truth, shares, scale, penalty, several or two)
        found = minimize(
            objective,
            np.concatenate([(weight / scale).ravel(), bias]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": arguments.get("max_iter", 1000), "gtol": tol, "ftol": tol / 10},
        )
        weight, bias = found.x[:-outputs].reshape(-1, outputs) * scale, found.x[-outputs:]
        plain = axes @ weight
        shifted = bias - mean @ plain
        yield Linear(np.ascontiguousarray(plain.T), shifted) if several else of_decisions(plain.T, shifted)


def _weights(y: np.ndarray, given: str | None) -> np.ndarray:
    """Weight of each row `(N, 1)`, or of each label of it `(N, C)`."""
    if y.ndim > 1:
        return np.stack([compute_sample_weight(given, column) for column in y.T], axis=1)
    return compute_sample_weight(given, y)[:, None]


class _Objective:
    """Loss and gradient of weights in scaled coordinates and intercepts, one after the other in one vector."""

    def __init__(
        self, x: np.ndarray, truth: np.ndarray, shares: np.ndarray, scale: np.ndarray, penalty: float, sigmoid: bool
    ):
        self.x, self.turned, self.truth, self.shares = x, np.ascontiguousarray(x.T), truth, shares
        self.scale, self.penalty, self.sigmoid = scale, penalty, sigmoid

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        outputs = self.truth.shape[1]
        scaled, bias = point[:-outputs].reshape(-1, outputs), point[-outputs:]
        z = self.x @ scaled.astype(np.float32) + bias
        if self.sigmoid:
            losses, found = np.logaddexp(0, z) - self.truth * z, expit(z)
        else:
            z = z - z.max(axis=1, keepdims=True)
            found = np.exp(z)
            total = found.sum(axis=1, keepdims=True)
            losses, found = np.log(total) - (self.truth * z).sum(axis=1, keepdims=True), found / total
        wrong = (found - self.truth) * self.shares
        weight = scaled * self.scale
        gradient = self.turned @ wrong.astype(np.float32) + self.penalty * weight * self.scale
        loss = (losses * self.shares).sum() + self.penalty / 2 * np.square(weight).sum()
        return float(loss), np.concatenate([gradient.ravel(), wrong.sum(axis=0)]).astype(np.float64)
