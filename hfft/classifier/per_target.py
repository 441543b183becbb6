"""Several targets by types that have one: a model for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfft.classifier.boosting import Trees
from hfft.classifier.linear import Linear
from hfft.classifier.svm import KernelMachine

Single = Linear | KernelMachine | Trees


@dataclass(frozen=True)
class PerTarget:
    """A model per target.

    Attributes:
        models: each of two classes, or of one value.
        classes: whether the targets are labels that a row has or has not.
    """

    models: tuple[Single, ...]
    classes: bool

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)`: the logit of each label, or each value."""
        each = [model.logits(x) for model in self.models]
        return np.concatenate([z[:, 1:] - z[:, :1] if self.classes else z for z in each], axis=1)


def fit_labels(
    fit: Callable[[np.ndarray, np.ndarray, Mapping[str, Any], int], Single],
    x: np.ndarray,
    y: np.ndarray,
    arguments: Mapping[str, Any],
    seed: int,
) -> PerTarget | Linear:
    """A model of two classes for each label; linear ones together are one linear model.

    Args:
        y: 0 and 1, `(N, C)`. A label that all or no rows have gets a constant probability, by Laplace's rule of succession.
    """
    models = tuple(_constant(x, z) if len(np.unique(z)) == 1 else fit(x, z, arguments, seed) for z in y.T.astype(int))
    linear = [model for model in models if isinstance(model, Linear)]
    if len(linear) < len(models):
        return PerTarget(models, classes=True)
    return Linear(
        np.stack([one.weight[1] - one.weight[0] for one in linear]),
        np.stack([one.bias[1] - one.bias[0] for one in linear]),
    )


def fit_values(
    fit: Callable[[np.ndarray, np.ndarray, Mapping[str, Any], int], Single],
    x: np.ndarray,
    y: np.ndarray,
    arguments: Mapping[str, Any],
    seed: int,
) -> PerTarget:
    """A model for each value; `y` is `(N, C)`."""
    return PerTarget(tuple(fit(x, z, arguments, seed) for z in y.T), classes=False)


def _constant(x: np.ndarray, z: np.ndarray) -> Linear:
    having = (z.sum() + 1) / (len(z) + 2)
    return Linear(np.zeros((2, x.shape[1])), np.array([0.0, np.log(having / (1 - having))]))
