"""H-score: how far apart the class means are, in units of the spread of the features.

Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer Learning, ICIP 2019; with shrinkage:
Ibrahim et al., Newer is not always better: Rethinking transferability metrics, 2021 (arXiv:2110.06893).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve
from sklearn.covariance import ledoit_wolf


def h_score(features: np.ndarray, classes: np.ndarray) -> float:
    """trace(S^-1 B) of the covariance S of the features and that of their class means B, with Ledoit-Wolf shrinkage.

    The plain score grows with the number of features alone. The shrinkage a in [0, 1] by which S is moved towards a
    multiple of the identity also takes the factor 1 - a from B, as in the paper.

    Args:
        features: `(N, D)`, finite, of which at least one varies.
        classes: `(N,)` class numbers.

    Returns:
        A number from 0 to the number of classes minus 1; larger is better.
    """
    values = features.astype(np.float64)
    spread, shrinkage = ledoit_wolf(values)
    _, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, numbers, values - values.mean(0))
    means = sums / counts[:, None] * np.sqrt(counts / len(values))[:, None]  # B = means.T @ means
    return float((1 - shrinkage) * np.sum(means.T * solve(spread, means.T, assume_a="pos")))
