"""An affine map of features, which can be folded into a linear classifier behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Affine:
    """`(x - mean) / scale @ matrix`; a part that is None is left out.

    Attributes:
        mean: `(D,)`.
        scale: `(D,)`, without zeros.
        matrix: `(D, K)`.
    """

    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    matrix: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Map rows `(N, D)` to `(N, K)`."""
        x = x if self.mean is None else x - self.mean
        x = x if self.scale is None else x / self.scale
        return x if self.matrix is None else x @ self.matrix

    def folded(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(C, D)` and `(C,)` that give for x what `weight` `(C, K)` and `bias` give behind this map."""
        weight = weight if self.matrix is None else weight @ self.matrix.T
        weight = weight if self.scale is None else weight / self.scale
        return weight, bias if self.mean is None else bias - weight @ self.mean
