"""A classifier whose outputs are linear in the features: it can become the head of a plain model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Linear:
    """`x @ weight.T + bias`.

    Attributes:
        weight: `(C, D)`.
        bias: `(C,)`.
    """

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)` for rows `(N, D)`."""
        return x @ self.weight.T + self.bias


def of_decisions(weight: np.ndarray, bias: np.ndarray) -> Linear:
    """The model from scikit-learn's `coef_` `(C, D)` and `intercept_` `(C,)`.

    Of two classes scikit-learn has the decision value z of the second alone; here they get -z/2 and z/2, so that their
    softmax is the sigmoid of z.
    """
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return Linear(np.ascontiguousarray(weight, np.float64), np.ascontiguousarray(bias, np.float64))


def of_two(z: np.ndarray) -> np.ndarray:
    """Logits `(N, 2)` from decision values `(N,)`, as in `of_decisions`."""
    return np.stack([-z, z], axis=1) / 2
