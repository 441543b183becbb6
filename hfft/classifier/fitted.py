"""A fitted classifier with the transforms before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from hfft.classifier.boosting import Trees
from hfft.classifier.centroid import Centroids
from hfft.classifier.easytl import EasyTL
from hfft.classifier.knn import Neighbours
from hfft.classifier.linear import Linear
from hfft.classifier.per_target import PerTarget
from hfft.classifier.spec import MULTI, SINGLE
from hfft.classifier.svm import KernelMachine
from hfft.classifier.transforms import Step, apply
from hfft.classifier.transforms.affine import Affine
from hfft.errors import BadInput

Model = Linear | Centroids | Neighbours | KernelMachine | Trees | EasyTL | PerTarget


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns; it maps features of target rows to outputs.

    Attributes:
        type: of classifier, by its name in a recipe.
        problem: kind of target, by the config's `problem_type`.
        width: number of features D.
        steps: the transforms of target rows, in order.
        model: maps transformed features to logits.
        chosen: the argument that was chosen and how: `name`, `value`, `grid`, `scores`, `on`; empty if none was.
        notes: lines to tell.
    """

    type: str
    problem: str
    width: int
    steps: tuple[Step, ...]
    model: Model
    chosen: dict[str, Any]
    notes: tuple[str, ...] = ()

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)` float64: their softmax, sigmoid (several labels) or they themselves (a regression) are the answer.

        Raises:
            BadInput: features of another width.
        """
        if x.ndim != 2 or x.shape[1] != self.width:
            raise BadInput(f"the classifier was fitted on {self.width} features, but the rows have {x.shape[1:]}")
        return self.model.logits(apply(self.steps, x))

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """`(N, C)` float64: probabilities of classes, of labels, or values of a regression.

        The most probable class is scikit-learn's prediction.
        """
        logits = self.logits(x)
        if self.problem == SINGLE:
            return softmax(logits, axis=1)
        return expit(logits) if self.problem == MULTI else logits

    @property
    def linear(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Weight `(C, D)` and bias `(C,)` with the same logits for untransformed features; None where the map is not linear."""
        if not isinstance(self.model, Linear) or not all(isinstance(step, Affine) for step in self.steps):
            return None
        weight, bias = self.model.weight, self.model.bias
        for step in reversed(self.steps):
            assert isinstance(step, Affine)
            weight, bias = step.folded(weight, bias)
        return weight, bias
