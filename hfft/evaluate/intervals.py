"""How sure a figure of one split is: intervals of 95 % over its rows, and tests of two models on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

NORMAL = NormalDist().inv_cdf(0.975)
LEVEL = 95  # per cent
RESAMPLES, FEWEST = 1000, 100
MOST_NUMBERS = (
    2 * 10**8
)  # drawn for all resamples together: larger splits, whose intervals are narrow, get fewer of them
AT_ONCE = 2 * 10**6  # numbers of the resamples that are computed together

Figures = Callable[[np.ndarray], Mapping[str, np.ndarray]]  # weights (R, N) -> figure -> (R,)


def figure(value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """A figure with its interval, as stored; without one where it has none."""
    return {"value": float(value)} | ({} if low is None or high is None else {"low": float(low), "high": float(high)})


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share of which `right` of `n` were found (Wilson 1927).

    Raises:
        ValueError: not 0 <= right <= n, or n is 0.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"{right} of {n}; expected at least one row and at most all of them")
    share, square = right / n, NORMAL**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = NORMAL / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference_of_shares(right: int, n: int, others_right: int, others: int) -> tuple[float, float]:
    """Interval of 95 % for the difference of two shares of different rows, from Wilson's of each (Newcombe 1998, method 10).

    Args:
        right, n: of the first share, from which the second is subtracted.

    Raises:
        ValueError: as for `wilson`.
    """
    (low, high), (other_low, other_high) = wilson(right, n), wilson(others_right, others)
    share, other = right / n, others_right / others
    return (
        share - other - math.hypot(share - low, other_high - other),
        share - other + math.hypot(high - share, other - other_low),
    )


def resamples(n: int, cost: int = 1) -> int:
    """Number of bootstrap resamples of `n` rows: 1,000, and fewer where rows times `cost` are many."""
    return int(np.clip(MOST_NUMBERS // max(n * cost, 1), FEWEST, RESAMPLES))


def bootstrap(figures: Figures, n: int, seed: int, cost: int = 1) -> dict[str, dict[str, Any]]:
    """Figures of `n` rows with percentile intervals of the bootstrap (Efron 1979); those that are not finite are left out.

    Args:
        figures: weights of the rows `(R, N)`, which are how often each was drawn -> figure -> its values `(R,)`.
        cost: numbers that `figures` computes per row.
    """
    rng, rounds = np.random.default_rng(seed), resamples(n, cost)
    values = {name: float(found[0]) for name, found in figures(np.ones((1, n))).items()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
    size = max(1, AT_ONCE // max(n * cost, 1))
    for begin in range(0, rounds, size):
        count = min(size, rounds - begin)
        places = rng.integers(0, n, (count, n)) + np.arange(count)[:, None] * n
        weights = np.bincount(places.ravel(), minlength=count * n).reshape(count, n).astype(float)
        for name, found in figures(weights).items():
            drawn[name].append(np.asarray(found, float))
    result = {}
    for name, value in values.items():
        finite = np.concatenate(drawn[name])
        finite = finite[np.isfinite(finite)]
        if math.isfinite(value) and len(finite):
            low, high = np.percentile(finite, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
            result[name] = figure(value, low, high)
    return result


def paired_difference(ours: np.ndarray, theirs: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean of `ours - theirs` over the same rows, `(N,)` each, with a bootstrap interval: 1s and 0s for right and wrong.

    Raises:
        ValueError: not the same rows.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape} and {theirs.shape}; expected figures of the same rows")
    gap = np.asarray(ours, float) - np.asarray(theirs, float)
    return bootstrap(lambda weights: {"difference": weights @ gap / len(gap)}, len(gap), seed)["difference"]


def mcnemar(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Two-sided p-value that two models are right equally often, given which rows `(N,)` each got right (McNemar 1947, exact)."""
    from scipy.stats import binomtest

    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    differing = only_ours + only_theirs
    return float(binomtest(only_ours, differing).pvalue) if differing else 1.0
