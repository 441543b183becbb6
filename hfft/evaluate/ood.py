"""Scores that tell rows of another distribution from those of the task; for each, a larger score is further out.

Everything that is fitted is fitted on rows of train. The first three scores read logits `(N, C)`, the others also features
`(N, D)`, the inputs of the head's last layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hfft.errors import BadInput
from hfft.evaluate import weighted

NEIGHBOURS = 50
OF_LOGITS, OF_FEATURES = ("msp", "max_logit", "energy"), ("knn", "rmds", "vim")
AT_ONCE = 1000  # rows whose distances to train are computed together


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the summed exponentials of each row, `(N,)`."""
    most = logits.max(1, keepdims=True)
    return most[:, 0] + np.log(np.exp(logits - most).sum(1))


def msp(logits: np.ndarray) -> np.ndarray:
    """Negative maximum softmax probability (Hendrycks & Gimpel 2017)."""
    return -np.exp(logits.max(1) - log_sum_exp(logits))


def max_logit(logits: np.ndarray) -> np.ndarray:
    """Negative maximum logit (Hendrycks et al. 2022)."""
    return -logits.max(1)


def energy(logits: np.ndarray) -> np.ndarray:
    """Energy at temperature 1, the negative log-sum-exp of the logits (Liu et al. 2020)."""
    return -log_sum_exp(logits)


@dataclass(frozen=True)
class Neighbours:
    """Distance to the k-th nearest row of train, with features of length 1 (Sun et al. 2022).

    Attributes:
        bank: features of train, `(N, D)`, normalised.
        k: number of the neighbour.
    """

    bank: np.ndarray
    k: int

    @classmethod
    def fit(cls, features: np.ndarray, k: int = NEIGHBOURS) -> Neighbours:
        """Of rows of train; with fewer than `k` of them, the distance to the furthest."""
        return cls(_normalised(features), min(k, len(features)))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The distances, `(N,)`."""
        found = [np.empty(0)]
        for begin in range(0, len(features), AT_ONCE):
            similar = _normalised(features[begin : begin + AT_ONCE]) @ self.bank.T
            nearest = np.partition(similar, -self.k, 1)[:, -self.k]  # on the sphere |a - b|² = 2 - 2ab
            found.append(np.sqrt(np.maximum(2 - 2 * nearest, 0)))
        return np.concatenate(found)


@dataclass(frozen=True)
class RelativeMahalanobis:
    """The smallest difference of the Mahalanobis distances to a class and to all of train (RMDS: Ren et al. 2021).

    Attributes:
        means: of the classes, `(C, D)`.
        mean: of all rows, `(D,)`.
        within, overall: inverse covariances `(D, D)` around the means of the classes and around the mean of all.
    """

    means: np.ndarray
    mean: np.ndarray
    within: np.ndarray
    overall: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, classes: np.ndarray) -> RelativeMahalanobis:
        """Of rows of train; singular covariances get their pseudo-inverse."""
        known, places = np.unique(classes, return_inverse=True)
        means = np.stack([features[classes == one].mean(0) for one in known])
        mean = features.mean(0)
        return cls(means, mean, _precision(features - means[places]), _precision(features - mean))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The differences, `(N,)`."""
        centred, means = features - self.mean, self.means - self.mean
        scaled = centred @ self.within  # |x - m|² = |x|² - 2xm + |m|²: one product for all classes
        of_classes = (scaled * centred).sum(1)[:, None] - 2 * scaled @ means.T + ((means @ self.within) * means).sum(1)
        return of_classes.min(1) - ((centred @ self.overall) * centred).sum(1)


@dataclass(frozen=True)
class VirtualLogit:
    """The norm of what the main directions of features leave of a row, as one more logit (ViM: Wang et al. 2022).

    Attributes:
        origin: the features for which the head answers without its bias, `(D,)`.
        residual: the directions left, `(D, R)`.
        alpha: scales norms to the size of the logits.
    """

    origin: np.ndarray
    residual: np.ndarray
    alpha: float

    @classmethod
    def fit(cls, features: np.ndarray, logits: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> VirtualLogit:
        """Of rows of train and the head's last layer, `weight` `(C, D)` and `bias` `(C,)`.

        Raises:
            BadInput: train has too few rows for its features to leave any direction.
        """
        d = features.shape[1]
        kept = principal_dimensions(d)
        origin = -np.linalg.pinv(weight) @ bias
        centred = features - origin
        directions = np.linalg.eigh(centred.T @ centred / len(features))[1]  # ascending
        residual = directions[:, : d - kept]
        norm = np.linalg.norm(centred @ residual, axis=1).mean()
        if norm <= 1e-9 * np.linalg.norm(centred, axis=1).mean():
            raise BadInput(
                f"{len(features)} rows of train with {d} features lie in {kept} dimensions, which leaves no residual"
            )
        return cls(origin, residual, float(logits.max(1).mean() / norm))

    def __call__(self, features: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """The virtual logit less the energy, `(N,)`; its softmax probability among the logits grows with it."""
        norms = np.linalg.norm((features - self.origin) @ self.residual, axis=1)
        return self.alpha * norms - log_sum_exp(logits)


def principal_dimensions(d: int) -> int:
    """Dimensions of ViM's principal space: the paper's 1000 above 1500 features and 512 below, and half of at most 512."""
    return 1000 if d > 1500 else 512 if d > 512 else d // 2


def figures_of(inside: np.ndarray, outside: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Figures of the scores of rows of the task `(N,)` and of others `(M,)`, as functions of weights `(R, N + M)`.

    `auroc`; `aupr_out` and `aupr_in`, average precision with the others and with the task's rows as positive; `fpr95`, the share
    of the task's rows that are flagged where 95 % of the others are (OpenOOD's); `fpr95_id`, the share of the others that
    pass where 95 % of the task's rows do (the energy paper's).
    """
    scores = np.concatenate([inside, outside])
    out = np.arange(len(scores)) >= len(inside)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        area, aupr_out = weighted.auroc_and_average_precision(weights, scores, out)
        _, aupr_in = weighted.auroc_and_average_precision(weights, -scores, ~out)
        return {
            "auroc": area,
            "aupr_in": aupr_in,
            "aupr_out": aupr_out,
            "fpr95": weighted.false_positive_rate(weights, scores, out),
            "fpr95_id": weighted.false_positive_rate(weights, -scores, ~out),
        }

    return figures


def _normalised(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _precision(centred: np.ndarray) -> np.ndarray:
    return np.linalg.pinv(centred.T @ centred / len(centred), hermitian=True)
