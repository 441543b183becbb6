"""Temperature and vector scaling: logits rescaled so that held-out rows are most likely (Guo et al. 2017, arXiv:1706.04599)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hfft.errors import BadInput
from hfft.wording import listing

LOWEST, HIGHEST = 0.05, 10.0  # temperature
FARTHEST = 10.0  # shift of a class by vector scaling, either way


@dataclass(frozen=True)
class Scaling:
    """Logits times a scale plus a shift, per class.

    Attributes:
        way: `temperature` or `vector`.
        scale, shift: `(C,)` each; for a temperature T, 1/T everywhere, and 0.
    """

    way: str
    scale: np.ndarray
    shift: np.ndarray

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Scaled logits `(N, C)`."""
        return logits * self.scale + self.shift

    def undo(self, logits: np.ndarray) -> np.ndarray:
        """The logits from scaled ones."""
        return (logits - self.shift) / self.scale

    @property
    def temperature(self) -> float:
        """T of the scaling, the mean one of a vector."""
        return float(1 / self.scale.mean())

    @property
    def at_limit(self) -> bool:
        """Whether it would go further if it were allowed to, as it would on rows without a mistake."""
        near = [np.isclose(self.scale, 1 / LOWEST), np.isclose(self.scale, 1 / HIGHEST)]
        return bool(np.any([*near, np.isclose(np.abs(self.shift), FARTHEST)]))


def row_losses(logits: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each row `(N,)`: of its class, references `(N,)`, or the mean over labels `(N, C)`."""
    if references.ndim == 1:
        return np.logaddexp.reduce(logits, axis=1) - np.take_along_axis(logits, references[:, None], 1)[:, 0]
    return (np.logaddexp(0, logits) - references * logits).mean(1)


def fit(way: str, logits: np.ndarray, references: np.ndarray, names: tuple[str, ...] = ()) -> Scaling:
    """The scaling with the lowest negative log-likelihood, by L-BFGS; the function is convex.

    Args:
        way: `temperature`, within [0.05, 10], or `vector`, whose scales are within the same limits.
        logits: `(N, C)`, finite.
        references: classes `(N,)`, or labels `(N, C)` of 0 and 1.
        names: of the classes, for messages.

    Raises:
        BadInput: no rows; or for a vector, a class that all rows or none have, whose shift has no limit.
    """
    if not len(logits):
        raise BadInput("score.calibrate: there are no validation rows to fit on; set data.validation")
    logits, classes = np.asarray(logits, np.float64), logits.shape[1]
    if way == "temperature":
        return Scaling(way, *_minimum(logits, references, vector=False))
    lonely = one_sided(references, classes)
    if len(lonely):
        which = listing([names[k] if names else k for k in lonely], 5)
        raise BadInput(
            f"score.calibrate: is vector, which needs validation rows with and without every class, and {which} has only "
            f"one kind; use temperature, or more validation rows"
        )
    return Scaling(way, *_minimum(logits, references, vector=True))


def one_sided(references: np.ndarray, classes: int) -> np.ndarray:
    """The classes that all rows have or none has; references are classes `(N,)` or labels `(N, C)`."""
    counts = np.bincount(references, minlength=classes) if references.ndim == 1 else (references > 0.5).sum(0)
    return np.flatnonzero((counts == 0) | (counts == len(references)))


def _minimum(logits: np.ndarray, references: np.ndarray, vector: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift `(C,)` with the lowest mean loss; one scale and no shift unless it is a vector."""
    from scipy.optimize import minimize
    from scipy.special import expit, softmax

    several, (n, classes) = references.ndim == 2, logits.shape
    truth = references if several else np.eye(classes)[references]

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (x[:classes], x[classes:]) if vector else (np.full(classes, x[0]), np.zeros(classes))

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        scale, shift = parts(x)
        z = logits * scale + shift
        slope = (expit(z) - truth) / (n * classes) if several else (softmax(z, axis=1) - truth) / n
        of_scale = (slope * logits).sum(0)
        gradient = np.concatenate([of_scale, slope.sum(0)]) if vector else of_scale.sum(keepdims=True)
        return float(row_losses(z, references).mean()), gradient

    scales, shifts = (classes, classes) if vector else (1, 0)
    bounds = [(1 / HIGHEST, 1 / LOWEST)] * scales + [(-FARTHEST, FARTHEST)] * shifts
    start = np.concatenate([np.ones(scales), np.zeros(shifts)])
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000, "maxfun": 10_000}
    return parts(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)
