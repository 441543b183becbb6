"""Figures of rows with weights, which the bootstrap draws: `weights` is `(R, N)`, one row per resample, and figures are `(R,)`.

With weights of 1 they are the figures of the rows themselves.
"""

from __future__ import annotations

import numpy as np


def confusion(weights: np.ndarray, references: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Weighted confusion matrices `(R, C, C)` of class numbers `(N,)`: a row per true class."""
    cells = references.astype(np.int64) * classes + predictions
    order = np.argsort(cells, kind="stable")
    known, begins = np.unique(cells[order], return_index=True)
    found = np.zeros((len(weights), classes * classes))
    found[:, known] = np.add.reduceat(weights[:, order], begins, axis=1)
    return found.reshape(-1, classes, classes)


def of_classes(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of confusion matrices `(R, C, C)`; means over classes are over those with rows, as in scikit-learn.

    `mcc` is Matthews' correlation coefficient for several classes (Gorodkin 2004).
    """
    right = np.diagonal(matrices, axis1=1, axis2=2)
    present, answered, total = matrices.sum(2), matrices.sum(1), matrices.sum((1, 2))
    seen = present > 0
    recall = np.divide(right, present, out=np.zeros_like(right), where=seen)
    either = present + answered > 0  # scikit-learn's mean of F1 is over classes that were there or were answered
    f1 = np.divide(2 * right, present + answered, out=np.zeros_like(right), where=either)
    covariance = right.sum(1) * total - (present * answered).sum(1)
    spread = np.sqrt((total**2 - (present**2).sum(1)) * (total**2 - (answered**2).sum(1)))
    return {
        "accuracy": right.sum(1) / total,
        "balanced_accuracy": recall.sum(1) / seen.sum(1),
        "f1_macro": f1.sum(1) / either.sum(1),
        "f1_weighted": (f1 * present).sum(1) / total,
        "mcc": np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0),
    }


def auroc_and_average_precision(
    weights: np.ndarray, scores: np.ndarray, positive: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve and average precision (AUPRC without interpolation) of scores `(N,)`; nan without both kinds.

    Equal scores are one threshold, as in scikit-learn.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # last row of each threshold
    of_positive = np.cumsum(weights[:, order] * positive[order], 1)[:, ends]
    of_others = np.cumsum(weights[:, order] * ~positive[order], 1)[:, ends]
    zero = np.zeros((len(weights), 1))
    hits, alarms = np.hstack([zero, of_positive]), np.hstack([zero, of_others])
    positives, others = hits[:, -1], alarms[:, -1]
    area = (np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1]) / 2).sum(1)
    chosen = of_positive + of_others
    precision = np.divide(of_positive, chosen, out=np.zeros_like(chosen), where=chosen > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return area / (positives * others), (np.diff(hits, axis=1) * precision).sum(1) / positives


def false_positive_rate(
    weights: np.ndarray, scores: np.ndarray, positive: np.ndarray, recall: float = 0.95
) -> np.ndarray:
    """Share of the negative rows whose score is above the threshold at which `recall` of the positive ones are found, `(R,)`.

    Equal scores are one threshold, as in scikit-learn's `roc_curve`; nan without both kinds.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    of_positive = np.cumsum(weights[:, order] * positive[order], 1)[:, ends]
    of_others = np.cumsum(weights[:, order] * ~positive[order], 1)[:, ends]
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.argmax(of_positive / of_positive[:, -1:] >= recall, axis=1)
        found = np.take_along_axis(of_others, first[:, None], 1)[:, 0] / of_others[:, -1]
    return np.where(of_positive[:, -1] > 0, found, np.nan)


def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted means `(R,)` of values `(N,)`."""
    return weights @ values / weights.sum(1)
