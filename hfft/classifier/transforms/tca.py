"""Directions in which both domains have the same mean (transfer component analysis; Pan et al. 2011, linear kernel)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from hfft.classifier.spec import TCA_COMPONENTS
from hfft.classifier.transforms.affine import Affine
from hfft.errors import BadInput

RIDGE = 1.0  # the paper's mu


def fit(x: np.ndarray, target: np.ndarray | None, option: int | str | None) -> tuple[Affine, Affine]:
    """The same map of both domains, onto `option` components (default 30).

    Raises:
        BadInput: more components than features.
    """
    assert target is not None
    components = TCA_COMPONENTS if option is None else int(option)
    if components > x.shape[1]:
        raise BadInput(f"classifier.transform: tca has {components} components of {x.shape[1]} features; lower it")
    step = Affine(matrix=tca(x, target, components))
    return step, step


def tca(source: np.ndarray, target: np.ndarray, components: int, ridge: float = RIDGE) -> np.ndarray:
    """The projection W `(D, components)` of transfer component analysis, in its primal form for the linear kernel.

    Among the maps under which all rows together have covariance I (`W' X' H X W = I`), it has the least
    `tr W' (X' L X + ridge I) W`, where `tr W' X' L X W` is the squared distance of the domains' means. In its primal form,
    new rows are mapped too, and the problem is as large as the features, not as the rows.

    Args:
        source, target: `(N, D)` and `(M, D)`.
    """
    gap = source.mean(axis=0) - target.mean(axis=0)
    both = np.concatenate([source, target])
    centred = both - both.mean(axis=0)
    distance = np.outer(gap, gap) + ridge * np.eye(len(gap))
    scatter, vectors = eigh(centred.T @ centred, distance)  # largest scatter per distance comes last
    chosen = slice(None, -components - 1, -1)
    return vectors[:, chosen] / np.sqrt(np.maximum(scatter[chosen], np.finfo(np.float64).tiny))
