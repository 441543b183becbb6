"""Match the covariances of two sets (Deep CORAL; Sun and Saenko 2016, arXiv:1607.01719)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, Pass
from hfft.strategy.shift.target import SCORED, TargetRows, TargetSpec
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor


class CORAL(TargetSpec):
    """Add the distance of the covariances on both sets.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the distance; the paper's makes it as large as the task loss at the end.
        of: whose covariances: the `logits`, as in the paper, or the head's inputs, `features`.
    """

    of: Literal["logits", "features"] = "logits"

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Covariances(self)


class Covariances(TargetRows):
    """Adds the distance over all rows of the step."""

    problems = SCORED
    spec: CORAL

    def __init__(self, spec: CORAL):
        super().__init__(spec)
        self.needs = frozenset({"features"} if spec.of == "features" else ())

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted distance."""
        outputs = seen.features if self.spec.of == "features" else seen.logits
        return {"coral": self.weight(seen.at) * coral(outputs[TASK], self.target(outputs))}


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Squared Frobenius distance of the covariances of rows `(N, D)` and `(M, D)`, divided by 4 D²; 0 for a single row."""
    if len(source) < 2 or len(target) < 2:
        return (source.sum() + target.sum()) * 0
    return (_covariance(source) - _covariance(target)).square().sum() / (4 * source.shape[1] ** 2)


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return torch.atleast_2d(centred.T @ centred / (len(x) - 1))
