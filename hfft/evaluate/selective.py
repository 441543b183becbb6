"""Answering only where a model is sure: risk over coverage, conformal sets, and a threshold for `unknown`.

Figures of weights `(R, N)` as in `hfft.evaluate.weighted`; weights are whole numbers here.
"""

from __future__ import annotations

import math

import numpy as np

COVERAGE = 0.8
POINTS = 100  # of a curve at most


def _accepted(weights: np.ndarray, confidence: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and wrong rows accepted down to each threshold, `(R, G + 1)` each, most confident first; equal ones together."""
    order = np.argsort(-confidence, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(confidence[order])), len(confidence) - 1)
    zero = np.zeros((len(weights), 1))
    rows = np.cumsum(weights[:, order], 1)[:, ends]
    errors = np.cumsum(weights[:, order] * wrong[order], 1)[:, ends]
    return np.hstack([zero, rows]), np.hstack([zero, errors])


def aurc(weights: np.ndarray, confidence: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Area under the risk-coverage curve `(R,)`: the mean risk of the k most confident rows over k = 1…N (Geifman et al. 2019).

    Rows of equal confidence are accepted in random order, of which this is the expectation.

    Args:
        confidence, wrong: of each row `(N,)`; `wrong` is 0 or 1.
    """
    rows, errors = _accepted(weights, confidence, wrong)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, round(rows[:, -1].max()) + 1))])
    mass, step = np.diff(rows, axis=1), np.diff(harmonic[np.rint(rows).astype(np.int64)], axis=1)
    share = np.divide(np.diff(errors, axis=1), mass, out=np.zeros_like(mass), where=mass > 0)
    # within a group of `mass` rows, the risk after j more rows is (errors + j * share) / (rows + j)
    return (errors[:, :-1] * step + share * (mass - rows[:, :-1] * step)).sum(1) / rows[:, -1]


def accuracy_at(
    weights: np.ndarray, confidence: np.ndarray, wrong: np.ndarray, coverage: float = COVERAGE
) -> np.ndarray:
    """Accuracy `(R,)` of the most confident rows, `coverage` of all rounded up; in a group of equal ones, the expectation."""
    rows, errors = _accepted(weights, confidence, wrong)
    found = []
    for mass, wrongs in zip(rows, errors, strict=True):
        k = max(math.ceil(coverage * mass[-1] - 1e-9), 1)
        found.append(1 - np.interp(k, mass, wrongs) / k)
    return np.array(found)


def curve(confidence: np.ndarray, wrong: np.ndarray, points: int = POINTS) -> list[list[float]]:
    """[coverage, risk] of the most confident rows, at most `points` of them, in order of coverage."""
    rows, errors = (part[0] for part in _accepted(np.ones((1, len(confidence))), confidence, wrong))
    steps = np.linspace(0, len(confidence), min(points, len(confidence)) + 1)[1:]
    ks = np.ceil(steps - 1e-9)
    return [[float(k / len(confidence)), float(np.interp(k, rows, errors) / k)] for k in ks]


def fewest_rows(target: float) -> int:
    """Number of rows that a conformal threshold needs, so that not every set holds all classes."""
    return math.ceil(target / (1 - target) - 1e-9)


def conformal_threshold(p: np.ndarray, references: np.ndarray, target: float) -> float:
    """The probability from which a class belongs to a row's set, so that sets hold the true class of `target` of new rows.

    Split conformal with the score 1 - p(true class): least ambiguous sets (LAC; Sadinle, Lei and Wasserman 2019,
    arXiv:1609.00451), the smallest on average. A set may be empty.

    Args:
        p: probabilities `(N, C)` of rows that the model was not fitted on.
        references: their classes `(N,)`.
    """
    scores = np.sort(1 - np.take_along_axis(p, references[:, None], 1)[:, 0])
    k = math.ceil((len(scores) + 1) * target - 1e-9)
    return 0.0 if k > len(scores) else float(1 - scores[k - 1])


def conformal_sets(p: np.ndarray, threshold: float) -> np.ndarray:
    """Which classes belong to each row's set, `(N, C)`."""
    return p >= threshold - 1e-12  # 1 - (1 - p) may be less than p by rounding


def rejection_threshold(confidence: np.ndarray, rate: float) -> float | None:
    """The confidence below which an answer is `unknown`, so that at most `rate` of rows like these `(N,)` are; None if too few.

    It is an order statistic: of new rows from the same source, the expected share below it is at most `rate`.
    """
    k = math.floor((len(confidence) + 1) * rate + 1e-9)
    return float(np.sort(confidence)[k - 1]) if 1 <= k <= len(confidence) else None
