"""Learn from pairs of rows whether their classes are the same (SetFit; Tunstall et al. 2022, arXiv:2209.11055).

A row of each class makes many pairs, so that a sentence encoder learns from few rows. The head is a logistic regression on the
features that result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import TASK, Companion, Method, MethodSpec, Pass
from hfft.strategy.metric.fitted_head import FittedHead

if TYPE_CHECKING:
    from torch import Tensor

SAME, OTHER = "same_class", "other_class"  # the parts that are read beside the task's rows


class Contrastive(MethodSpec):
    """Cosines of the features are pulled to 1 for two rows of a class, to 0 for rows of two classes; the squared error counts.

    An epoch is what SetFit calls an iteration: each row makes one pair of each kind. Tunstall et al. use 20.

    Attributes:
        pairs: `drawn`: beside each row one of its class and one of another are read, as in the paper; `batch`: all pairs within
            a step count, both kinds alike, so that each row is read once.
        C: inverse strength of the head's regularisation, as in scikit-learn's `LogisticRegression`.
    """

    main = "pairs"
    pairs: Literal["drawn", "batch"] = "drawn"
    C: float = Field(default=1.0, gt=0)

    def build(self) -> Method:
        """The method."""
        return DrawnPairs(self) if self.pairs == "drawn" else PairsOfBatch(self)


class LogisticHead(FittedHead):
    """The head is a logistic regression, whose option `C` the spec has."""

    def __init__(self, spec: Any):
        self.spec = spec

    def fit(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """scikit-learn's logistic regression."""
        return logistic_head(features, labels, self.spec.C)


class DrawnPairs(LogisticHead):
    """Reads two rows beside each row of the task."""

    needs = FittedHead.needs | {"inputs"}
    passes = 3

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """A row of the same class, which is another one if there is, and one of another class, drawn for (seed, epoch, row)."""
        same, other = drawn_pairs(rows, self.class_ids, epoch, seed)
        return {SAME: Companion(same), OTHER: Companion(other)}

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The squared error of each row's two cosines."""
        row, same, other = (seen.features[part] for part in (TASK, SAME, OTHER))
        positive, negative = F.cosine_similarity(row, same), F.cosine_similarity(row, other)
        return {"contrastive": ((1 - positive).square() + negative.square()) / 2}


class PairsOfBatch(LogisticHead):
    """Compares all rows of a step with each other."""

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The squared error of all pairs."""
        return {"contrastive": pairs_loss(seen.features[TASK], seen.labels)}


def drawn_pairs(rows: np.ndarray, class_ids: np.ndarray, epoch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each row `(B,)` the number of a row of its class, and of one of another class, drawn for (seed, epoch, row).

    Args:
        class_ids: `(N,)` class of each training row. The only row of a class is paired with itself.
    """
    same, other = np.empty_like(rows), np.empty_like(rows)
    for i, row in enumerate(rows):
        first, second = np.random.default_rng((seed, epoch, int(row), 7)).random(2)
        alike = class_ids == class_ids[row]
        others = np.flatnonzero(~alike)
        alike[row] = alike.sum() == 1
        mates = np.flatnonzero(alike)
        same[i], other[i] = mates[int(first * len(mates))], others[int(second * len(others))]
    return same, other


def pairs_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Squared errors of the cosines of all pairs of rows: half their mean over pairs of a class, half that over the others.

    Args:
        features: `(N, D)`.
        labels: `(N,)`. A kind of which there are no pairs counts as 0.
    """
    x = F.normalize(features, dim=1)
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    alike = labels[first] == labels[second]
    errors = ((x @ x.T)[first, second] - alike.to(x.dtype)).square()
    kinds = [errors[kind].sum() / kind.sum().clamp(min=1) for kind in (alike, ~alike)]
    return (kinds[0] + kinds[1]) / 2


def logistic_head(features: Tensor, labels: Tensor, C: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weight `(C, D)` and bias `(C,)` of a logistic regression, from features `(N, D)` and labels `(N,)` of all classes.

    Of two classes, each gets half of the one vector that scikit-learn fits: their softmax is its sigmoid.
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=C, max_iter=1000).fit(features.cpu().numpy(), labels.cpu().numpy())
    weight, bias = torch.from_numpy(fitted.coef_), torch.from_numpy(fitted.intercept_)
    if len(weight) == 1:
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias
