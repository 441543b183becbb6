"""How far confidences are from how often they are right: errors over bins, as functions of weights of rows `(R, N)`.

With weights of 1 they are the errors of the rows themselves; see `hfft.evaluate.weighted`. A decision has a confidence, the
probability that it is right; rows of one class have one, the most probable class, and rows of several labels one per class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

BINS = 15
PER_BIN = 100  # rows of an adaptive bin (Hendrycks et al. 2019)
MOST_CELLS = 2 * 10**7  # rows times classes of which intervals of the class-wise error are computed


@dataclass(frozen=True)
class Decisions:
    """Decisions of rows.

    Attributes:
        confidence: of each, `(M,)`.
        correct: whether it was right, `(M,)` float.
        per_row: decisions of each row, which stand together.
    """

    confidence: np.ndarray
    correct: np.ndarray
    per_row: int = 1

    @classmethod
    def of(cls, p: np.ndarray, references: np.ndarray) -> Decisions:
        """Those of probabilities `(N, C)`: one per row for classes `(N,)`; for labels `(N, C)`, whether each class is there."""
        if references.ndim == 1:
            return cls(p.max(1), (p.argmax(1) == references).astype(float))
        chosen = p > 0.5
        correct = (chosen == (references > 0.5)).astype(float)
        return cls(np.where(chosen, p, 1 - p).ravel(), correct.ravel(), p.shape[1])

    def weights(self, of_rows: np.ndarray) -> np.ndarray:
        """Weights `(R, M)` of the decisions, from those of the rows `(R, N)`."""
        return of_rows if self.per_row == 1 else np.repeat(of_rows, self.per_row, axis=1)


def place(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin of equal width that each confidence falls into; the right edge belongs to it."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def equal_width(weights: np.ndarray, found: Decisions, bins: int = BINS) -> np.ndarray:
    """Expected calibration error over bins of equal width, `(R,)` (Guo et al. 2017, arXiv:1706.04599)."""
    gaps = np.zeros((len(found.confidence), bins))
    gaps[np.arange(len(gaps)), place(found.confidence, bins)] = found.correct - found.confidence
    weights = found.weights(weights)
    return np.abs(weights @ gaps).sum(1) / weights.sum(1)


def equal_mass(weights: np.ndarray, found: Decisions, bins: int = BINS) -> np.ndarray:
    """The same over bins of equally many decisions, `(R,)` (Nguyen and O'Connor 2015, arXiv:1508.05154).

    Sizes differ by one at most, the larger bins first; equal confidences are in the order of the rows.
    """
    return _equal_mass(Running.of(weights, found), bins)


def _equal_mass(running: Running, bins: int = BINS) -> np.ndarray:
    return running.over_bins(lambda n: _equal_cuts(n, bins), lambda gaps, sizes: np.abs(gaps).sum(1))


def rms(weights: np.ndarray, found: Decisions, per_bin: int = PER_BIN) -> np.ndarray:
    """Root mean square calibration error over adaptive bins of `per_bin` decisions, `(R,)` (Hendrycks et al. 2019).

    arXiv:1901.09960. The last bin also has the remainder. It is included, which their published code leaves out.
    """
    return _rms(Running.of(weights, found), per_bin)


def _rms(running: Running, per_bin: int = PER_BIN) -> np.ndarray:
    squared = running.over_bins(lambda n: _adaptive_cuts(n, per_bin), lambda gaps, sizes: (gaps**2 / sizes).sum(1))
    return np.sqrt(squared)


def _equal_cuts(n: int, bins: int) -> np.ndarray:
    steps = np.arange(bins + 1)
    return steps * (n // bins) + np.minimum(steps, n % bins)


def _adaptive_cuts(n: int, per_bin: int) -> np.ndarray:
    whole = max(n // per_bin, 1)
    return np.append(np.arange(whole) * per_bin, n)


@dataclass(frozen=True)
class Running:
    """Decisions sorted by confidence: how many there are up to each one, and their sum of `correct - confidence`.

    Attributes:
        mass, gap: `(R, M + 1)`, from 0.
    """

    mass: np.ndarray
    gap: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray, found: Decisions) -> Running:
        """Of weights of rows `(R, N)`."""
        order = np.argsort(found.confidence, kind="stable")
        weights = found.weights(weights)[:, order]
        zero = np.zeros((len(weights), 1))
        return cls(
            np.hstack([zero, np.cumsum(weights, 1)]),
            np.hstack([zero, np.cumsum(weights * (found.correct - found.confidence)[order], 1)]),
        )

    def over_bins(
        self, cuts: Callable[[int], np.ndarray], error: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """An error of each row of weights, `(R,)`, from the sums of its bins `(R, B)` and their sizes `(B,)`.

        A decision that counts several times may fall into several bins, as its copies would.
        """
        totals = np.rint(self.mass[:, -1])
        result = np.empty(len(totals))
        for total in np.unique(totals):  # all resamples of a split have the same
            mass, gap = self.mass[totals == total], self.gap[totals == total]
            edges = np.unique(cuts(int(total))).astype(float)
            apart = (total + 1) * np.arange(len(mass))[:, None]  # so that one call serves all rows
            at = np.interp((edges + apart).ravel(), (mass + apart).ravel(), gap.ravel()).reshape(len(mass), -1)
            result[totals == total] = error(np.diff(at, axis=1), np.diff(edges)) / total
        return result


def classwise(p: np.ndarray, truth: np.ndarray, bins: int = BINS) -> Callable[[np.ndarray], np.ndarray]:
    """Weights -> class-wise error, the mean over all classes of that of each column (Kull et al. 2019, arXiv:1910.12656).

    Args:
        p: probabilities `(N, C)`.
        truth: whether a row has the class, `(N, C)`.
    """
    from scipy.sparse import csr_array

    n, classes = p.shape
    starts = np.arange(0, n * classes + 1, classes)
    gaps = csr_array(((truth - p).ravel(), _cells(p, bins).ravel(), starts), shape=(n, classes * bins)).T

    def of(weights: np.ndarray) -> np.ndarray:
        return np.abs(gaps @ weights.T).sum(0) / classes / weights.sum(1)

    return of


def _cells(p: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each class of each row, `(N, C)`, numbered over all classes."""
    return np.arange(p.shape[1]) * bins + place(p, bins)


def errors(p: np.ndarray, references: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Weights -> `ece`, `ece_equal_mass`, `classwise_ece`, `rms` of probabilities `(N, C)`; references as for `Decisions.of`."""
    found = Decisions.of(p, references)
    truth = references > 0.5 if references.ndim == 2 else references[:, None] == np.arange(p.shape[1])
    by_class = classwise(p, truth)

    def of(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {**_of_decisions(weights, found), "classwise_ece": by_class(weights)}

    return of


def _of_decisions(weights: np.ndarray, found: Decisions) -> dict[str, np.ndarray]:
    running = Running.of(weights, found)
    return {
        "ece": equal_width(weights, found),
        "ece_equal_mass": _equal_mass(running),
        "rms": _rms(running),
    }


def if_calibrated(p: np.ndarray, several: bool, seed: int, rounds: int) -> dict[str, np.ndarray]:
    """What `errors` would be of rows whose true classes are drawn from their probabilities `(N, C)`, `(rounds,)` each.

    An error over bins is above 0 even then (consistency resampling; Bröcker and Smith 2007, doi:10.1175/WAF993.1).

    Args:
        several: rows have any number of labels, not one class each.
    """
    rng, (n, classes) = np.random.default_rng(seed), p.shape
    cells, rows, once = _cells(p, BINS), np.arange(n), np.ones((1, n))
    expected = np.bincount(cells.ravel(), p.ravel(), classes * BINS)
    edges, found = np.cumsum(p, axis=1), list[dict[str, np.ndarray]]()
    decisions = Decisions.of(p, np.zeros(p.shape if several else n, int))
    for _ in range(rounds):
        if several:
            drawn = rng.random(p.shape) < p
            correct, hit = (drawn == (p > 0.5)).ravel(), cells[drawn]
        else:
            classes_drawn = np.minimum((rng.random((n, 1)) > edges).sum(1), classes - 1)
            correct, hit = classes_drawn == p.argmax(1), cells[rows, classes_drawn]
        gaps = np.abs(np.bincount(hit, minlength=classes * BINS) - expected).sum() / classes / n
        drawn_decisions = replace(decisions, correct=correct.astype(float))
        found.append({**_of_decisions(once, drawn_decisions), "classwise_ece": np.array([gaps])})
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """`equal_width` of confidences and whether they were right, `(N,)` each: in [0, 1]."""
    found = Decisions(np.asarray(confidence, float), np.asarray(correct, float))
    return float(equal_width(np.ones((1, len(confidence))), found, bins)[0])


def reliability(found: Decisions, bins: int = BINS) -> list[dict[str, Any]]:
    """The bins of equal width that hold decisions: `low`, `high`, `n`, mean `confidence`, `accuracy`."""
    which = place(found.confidence, bins)
    counts = np.bincount(which, minlength=bins)
    confidence = np.bincount(which, found.confidence, bins)
    right = np.bincount(which, found.correct, bins)
    return [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "n": int(counts[b]),
            "confidence": float(confidence[b] / counts[b]),
            "accuracy": float(right[b] / counts[b]),
        }
        for b in range(bins)
        if counts[b]
    ]
