"""Project onto the principal components of the training rows."""

from __future__ import annotations

import numpy as np

from hfft.classifier.transforms.affine import Affine
from hfft.errors import BadInput


def fit(x: np.ndarray, target: np.ndarray | None, option: int | str | None) -> tuple[Affine, Affine]:
    """The map of both domains onto the first `option` components.

    Raises:
        BadInput: there are fewer rows or features than components.
    """
    rows, width = x.shape
    if int(option or 0) > min(rows, width):
        raise BadInput(
            f"classifier.transform: pca has {option} components, but {rows} training rows with {width} features have at most "
            f"{min(rows, width)}; lower it"
        )
    from sklearn.decomposition import PCA  # slow to import, and recipes are checked without it

    found = PCA(int(option or 0), svd_solver="full").fit(x)
    step = Affine(mean=found.mean_, matrix=found.components_.T)
    return step, step
