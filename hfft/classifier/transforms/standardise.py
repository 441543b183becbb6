"""Scale each feature to mean 0 and variance 1, by the training rows' statistics or by each domain's own."""

from __future__ import annotations

import numpy as np

from hfft.classifier.transforms.affine import Affine


def fit(x: np.ndarray, target: np.ndarray | None, option: object) -> tuple[Affine, Affine]:
    """The maps of both domains; with the option `per-domain` that of the target rows has their own statistics.

    A constant feature is only centred, as by scikit-learn's StandardScaler.
    """
    source = _of(x)
    return source, _of(target) if option == "per-domain" and target is not None else source


def _of(x: np.ndarray) -> Affine:
    deviation = x.std(axis=0)
    constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(x).max(axis=0)
    return Affine(x.mean(axis=0), np.where(constant, 1.0, deviation))
