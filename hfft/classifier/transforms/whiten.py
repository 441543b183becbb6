"""Rotate to the principal components and scale each to variance 1."""

from __future__ import annotations

import numpy as np

from hfft.classifier.transforms.affine import Affine
from hfft.errors import BadInput

LEAST = 1e-10  # share of the largest variance, below which a direction is rounding error and is left out


def fit(x: np.ndarray, target: np.ndarray | None, option: object) -> tuple[Affine, Affine]:
    """The map of both domains, as by scikit-learn's PCA with `whiten`, without directions in which rows do not vary.

    Raises:
        BadInput: the rows do not vary at all.
    """
    from sklearn.decomposition import PCA  # slow to import, and recipes are checked without it

    found = PCA(svd_solver="full").fit(x)
    variances = found.explained_variance_
    varying = variances > LEAST * variances.max()
    if not varying.any():
        raise BadInput("classifier.transform: whiten needs features that vary, but all training rows are equal")
    step = Affine(mean=found.mean_, matrix=found.components_[varying].T / np.sqrt(variances[varying]))
    return step, step
