"""LogME: how well a linear model on fixed features explains targets, by its evidence.

You et al., LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021 (arXiv:2102.11005).
"""

from __future__ import annotations

import numpy as np

STEPS, TOLERANCE = 1000, 1e-10  # of the fixed-point iteration
SMALLEST = 1e-11  # a squared singular value below this share of the largest one is rounding
FARTHEST = (
    1e12  # alpha / beta goes to infinity where features explain nothing; this many times the largest square is near
)


def logme(features: np.ndarray, targets: np.ndarray) -> float:
    """The logarithm of the maximum evidence per row, averaged over the targets; larger is better.

    A target is explained by `features @ w + noise` with w ~ N(0, 1/alpha) and noise ~ N(0, 1/beta), without an intercept.
    The evidence is maximised over alpha and beta by the paper's fixed-point iteration (its algorithm 3), for all targets
    at once and from one decomposition of the features.

    Args:
        features: `(N, D)`, finite.
        targets: `(N,)` class numbers (integers), which count as one target of 0 and 1 per class; or `(N,)` or `(N, K)`
            floats: numbers of a regression, or 0 and 1 for each of several labels. No target is 0 in all rows.

    Returns:
        A number in (-inf, inf). It depends on the scale of the targets, so compare models on the same rows only.
    """
    squares, basis = _decomposed(features)
    wanted = one_hot(targets) if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer) else targets
    wanted = wanted.astype(np.float64).reshape(len(features), -1)
    parts = (basis.T @ wanted) ** 2  # (R, K): what each direction explains of each target
    total = (wanted**2).sum(0)  # (K,)
    left = np.maximum(total - parts.sum(0), 1e-12 * total)
    return float((_evidence(squares, parts, left, len(features)) / len(features)).mean())


def one_hot(classes: np.ndarray) -> np.ndarray:
    """`(N,)` class numbers as `(N, C)` of 0 and 1, for the classes that occur."""
    return (classes[:, None] == np.unique(classes)).astype(np.float64)


def _decomposed(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The squared singular values that are not zero, `(R,)`, and their left singular vectors, `(N, R)`.

    They come from the eigenvectors of the smaller one of the two products of the features with themselves, which takes a
    small part of the time of a decomposition of the features.
    """
    values = features.astype(np.float64)
    rows, width = values.shape
    squares, vectors = np.linalg.eigh(values @ values.T if rows <= width else values.T @ values)
    kept = squares > SMALLEST * squares[-1]
    squares, vectors = squares[kept], vectors[:, kept]
    return squares, vectors if rows <= width else values @ (vectors / np.sqrt(squares))


def _evidence(squares: np.ndarray, parts: np.ndarray, left: np.ndarray, rows: int) -> np.ndarray:
    """The maximum of the logarithm of the evidence of each target, `(K,)`.

    Args:
        left: the squared part of each target that no direction explains, `(K,)`.
    """
    squares = squares[:, None]
    ratio = np.full(parts.shape[1], float(squares.mean()))  # alpha / beta
    for _ in range(STEPS):
        used, weights, misfit = _terms(squares, parts, left, ratio)
        before = ratio
        ratio = (used / weights) * misfit / np.maximum(rows - used, 1e-12 * rows)
        ratio = np.clip(ratio, squares.max() / FARTHEST, squares.max() * FARTHEST)
        if np.all(np.abs(ratio - before) <= TOLERANCE * before):
            break
    used, weights, misfit = _terms(squares, parts, left, ratio)
    beta = rows / (misfit + ratio * weights)  # the best for this ratio, in closed form
    alpha = ratio * beta
    found = (np.log(alpha) - np.log(alpha + beta * squares)).sum(0) + rows * np.log(beta / (2 * np.pi))
    return (found - beta * misfit - alpha * weights) / 2


def _terms(
    squares: np.ndarray, parts: np.ndarray, left: np.ndarray, ratio: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The effective number of weights, the squared norm of the weights, and the squared misfit, `(K,)` each."""
    shrunk = squares + ratio
    weights = (squares * parts / shrunk**2).sum(0)
    return (squares / shrunk).sum(0), np.maximum(weights, 1e-300), (parts * (ratio / shrunk) ** 2).sum(0) + left
