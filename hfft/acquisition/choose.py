"""Choose rows by the name of an acquisition function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hfft.acquisition.badge import badge
from hfft.acquisition.core_set import core_set
from hfft.acquisition.uncertainty import entropies, margins

WAYS = ("margin", "entropy", "core-set", "badge", "random")


@dataclass(frozen=True)
class Chosen:
    """Rows in the order of choice.

    Attributes:
        rows: `(n,)` row numbers.
        scores: `(n,)` what each was chosen by; None for `random`.
        score: its name: `margin`, `entropy`, `distance` or `gradient`.
    """

    rows: np.ndarray
    scores: np.ndarray | None
    score: str


def choose(
    by: str, n: int, probabilities: np.ndarray, features: np.ndarray, labelled: np.ndarray, seed: int = 42
) -> Chosen:
    """The `n` rows to label next.

    Args:
        by: one of `WAYS`.
        n: from 1 to N.
        probabilities: `(N, C)` of the unlabelled rows.
        features: `(N, D)`, what the head's last layer reads of them.
        labelled: `(M, D)` the same of the labelled rows; only `core-set` reads them.
        seed: of `badge` and `random`.
    """
    if by == "margin":
        found = margins(probabilities)
        rows = np.argsort(found, kind="stable")[:n]
        return Chosen(rows, found[rows], "margin")
    if by == "entropy":
        found = entropies(probabilities)
        rows = np.argsort(-found, kind="stable")[:n]
        return Chosen(rows, found[rows], "entropy")
    if by == "core-set":
        return Chosen(*core_set(features, labelled, n), "distance")
    if by == "badge":
        return Chosen(*badge(probabilities, features, n, seed), "gradient")
    return Chosen(np.random.default_rng((seed, 16)).permutation(len(probabilities))[:n], None, "random")
