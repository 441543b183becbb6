"""Give source rows the covariance of the target rows (CORAL; Sun, Feng, Saenko 2016, arXiv:1511.05547)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from hfft.classifier.transforms.affine import Affine
from hfft.errors import BadInput

RIDGE = 1.0  # added to the diagonal of both covariances, the paper's lambda


def fit(x: np.ndarray, target: np.ndarray | None, option: object) -> tuple[Affine, Affine]:
    """The maps of both domains: source rows are re-coloured, target rows stay as they are.

    Raises:
        BadInput: a domain has a single row, which has no covariance.
    """
    assert target is not None
    if min(len(x), len(target)) < 2:
        raise BadInput("classifier.transform: coral needs at least 2 rows of each domain")
    return Affine(matrix=coral(x, target)), Affine()


def coral(source: np.ndarray, target: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """`(Cs + ridge I)^(-1/2) (Ct + ridge I)^(1/2)`, `(D, D)`: the linear map by which source rows are multiplied.

    Args:
        source, target: `(N, D)` and `(M, D)`.
    """
    size = source.shape[1]
    whiten = _power(np.cov(source.T).reshape(size, size) + ridge * np.eye(size), -0.5)
    return whiten @ _power(np.cov(target.T).reshape(size, size) + ridge * np.eye(size), 0.5)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = eigh(matrix)
    return (vectors * np.maximum(values, np.finfo(np.float64).tiny) ** exponent) @ vectors.T
