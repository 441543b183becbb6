"""AugMix with its consistency loss: three views of an image get the same answer (Hendrycks et al. 2020, arXiv:1912.02781)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.strategy.method import TASK, Companion, Method, MethodSpec, Pass, Setting
from hfft.strategy.mix.consistency import jensen_shannon
from hfft.strategy.mix.pairs import CLASSES
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor

VIEWS = ("augmix 1", "augmix 2")


class AugMix(MethodSpec):
    """Penalise the divergence between the predictions for an image and for two augmented views; a step costs three times as much.

    Attributes:
        weight: factor of the Jensen-Shannon divergence; the paper uses 12.
        severity: tenths of the transforms' largest magnitudes; the paper uses 3 for CIFAR and 1 for ImageNet.
        mixture_width: number of chains that a view mixes.
        chain_depth: transforms of a chain; -1 for 1 to 3, drawn.
        alpha: of the Dirichlet and the Beta distribution that the shares of a view are drawn from.
    """

    main = "weight"
    weight: WeightSpec = 12.0
    severity: int = Field(default=3, ge=1, le=10)
    mixture_width: int = Field(default=3, ge=1)
    chain_depth: int = Field(default=-1, ge=-1)
    alpha: float = Field(default=1.0, gt=0)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Consistent(self)


class Consistent(Method):
    """Reads two views of each row beside it; the labels are learned from the row itself, as in the paper.

    A view is the image as `data.augment` makes it for the row, then changed by the operation `augmix` in a draw of its own.
    """

    needs = frozenset({"inputs", "continuous", "images", "unmixed"})
    problems = CLASSES
    passes = 3

    def __init__(self, spec: AugMix):
        self.spec, self.weight = spec, Weight(spec.weight, default=12.0)
        options = {"severity", "mixture_width", "chain_depth", "alpha"}
        self.augment = ({"augmix": spec.model_dump(include=options)},)

    def start(self, setting: Setting) -> None:
        """Remember what the outputs mean."""
        self.multi_label = setting.problem.multi_label

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """The same rows in two further draws."""
        return {name: Companion(rows, draw=i, augment=self.augment) for i, name in enumerate(VIEWS, 1)}

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence of each row."""
        clean, first, second = (seen.logits[part] for part in (TASK, *VIEWS))
        return {"augmix": self.weight(seen.at) * augmix(clean, first, second, self.multi_label)}


def augmix(clean: Tensor, first: Tensor, second: Tensor, multi_label: bool = False) -> Tensor:
    """Jensen-Shannon divergence of the predictions for an image and two views, from logits `(B, C)`: `(B,)`, 0 to ln 3 nats."""
    return jensen_shannon([clean, first, second], multi_label)
