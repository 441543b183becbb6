"""What a model's answers to rows without labels let expect of it there, and priors of classes corrected from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hfft.evaluate.shift import atc, atc_threshold, negative_entropy

MOST = 4000  # rows that SND compares with each other
# Criterion -> whether more of it is better. The first one is the default.
CRITERIA = {"snd": True, "atc": True, "entropy": False, "source_validation": True}


def mean_entropy(p: np.ndarray) -> float:
    """Mean entropy in nats of probabilities `(N, C)`; less is better where a model is not confidently wrong."""
    return float(-negative_entropy(p).mean())


def snd(p: np.ndarray, temperature: float = 0.05, seed: int = 0) -> float:
    """Soft neighbourhood density of probabilities `(N, C)`: more is better (Saito et al. 2021, arXiv:2108.10860).

    The entropy in nats, a mean over rows, of each row's similarities to the others. Of more than MOST rows as many are drawn.
    """
    if len(p) > MOST:
        p = p[np.random.default_rng(seed).permutation(len(p))[:MOST]]
    x = p / np.linalg.norm(p, axis=1, keepdims=True)
    likeness = x @ x.T / temperature
    np.fill_diagonal(likeness, -np.inf)
    likeness -= likeness.max(1, keepdims=True)
    q = np.exp(likeness)
    q /= q.sum(1, keepdims=True)
    return float(-negative_entropy(q).mean())


def criteria(target: np.ndarray, source: np.ndarray | None = None, truth: np.ndarray | None = None) -> dict[str, float]:
    """The criteria of a model by its probabilities for target rows `(N, C)`, whose labels are not known.

    Args:
        source: probabilities for held-out rows of the source `(M, C)`, for `atc` and `source_validation`.
        truth: their classes `(M,)`.
    """
    found = {"snd": snd(target), "entropy": mean_entropy(target)}
    if source is not None and truth is not None and len(truth):
        right = source.argmax(1) == truth
        found["atc"] = atc(negative_entropy(target), atc_threshold(negative_entropy(source), right))
        found["source_validation"] = float(right.mean())
    return {name: found[name] for name in CRITERIA if name in found}


def chosen(found: Mapping[str, Mapping[str, float]], base: str, criterion: str) -> str:
    """The model that a criterion prefers; `base`, the source-only one, unless another is strictly better.

    Args:
        found: model -> its `criteria`; models without the criterion are left out.
    """
    sign = 1 if CRITERIA[criterion] else -1
    scores = {name: sign * values[criterion] for name, values in found.items() if criterion in values}
    best = max(scores, key=lambda name: scores[name], default=base)
    return best if best != base and scores[best] > scores.get(base, -np.inf) else base


def em_priors(p: np.ndarray, prior: np.ndarray, steps: int = 1000, tolerance: float = 1e-8) -> np.ndarray:
    """The shares of classes among target rows, `(C,)`, by expectation maximisation (Saerens et al. 2002).

    Args:
        p: probabilities `(N, C)` of a calibrated model.
        prior: shares of classes where it was trained, `(C,)`; classes of share 0 keep 0.
    """
    found = prior = prior / prior.sum()
    for _ in range(steps):
        last, found = found, with_priors(p, prior, found).mean(0)
        if np.abs(found - last).max() < tolerance:
            break
    return found


def bbse_priors(p: np.ndarray, source: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The shares of classes among target rows, `(C,)`, by the confusion on held-out source rows (BBSE; Lipton et al. 2018).

    Weights below 0 are set to 0. Least squares of least norm where a class is never predicted, so that the confusion is singular.

    Args:
        p: probabilities for target rows `(N, C)`.
        source: probabilities for held-out source rows `(M, C)`.
        truth: their classes `(M,)`.
    """
    classes = p.shape[1]
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (source.argmax(1), truth), 1 / len(truth))
    predicted = np.bincount(p.argmax(1), minlength=classes) / len(p)
    weights = np.maximum(np.linalg.lstsq(confusion, predicted, rcond=None)[0], 0)
    found = weights * np.bincount(truth, minlength=classes)
    return found / found.sum() if found.sum() else np.bincount(truth, minlength=classes) / len(truth)


def with_priors(p: np.ndarray, prior: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Probabilities `(N, C)` of a model trained with shares `prior` of the classes, for rows that have shares `target`."""
    ratio = np.divide(target, prior, out=np.zeros_like(target, float), where=prior > 0)
    found = p * ratio
    total = found.sum(1, keepdims=True)
    return np.divide(found, total, out=p.astype(float).copy(), where=total > 0)


def rounded(found: Mapping[str, float]) -> dict[str, Any]:
    """Criteria for a line: four digits."""
    return {name: round(value, 4) for name, value in found.items()}
