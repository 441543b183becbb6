"""Uncertainty sampling: the rows whose class the model is least sure of (Settles 2009, Active Learning Literature Survey)."""

from __future__ import annotations

import numpy as np


def margins(probabilities: np.ndarray) -> np.ndarray:
    """The probability of the first class less that of the second, `(N,)` from 0 to 1, of probabilities `(N, C)`."""
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return top[:, 1] - top[:, 0]


def entropies(probabilities: np.ndarray) -> np.ndarray:
    """The entropy of each row's classes in nats, `(N,)` from 0 to ln C, of probabilities `(N, C)`."""
    logs = np.log(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))
    return -(probabilities * logs).sum(1)
