"""FixMatch: learn a strong view from the class of the weak one, if that is sure (Sohn et al. 2020, arXiv:2001.07685)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hfft.strategy.method import Method, MethodSpec, Pass
from hfft.strategy.semi_supervised.views import WeakAndStrong, checked, pseudo_label_loss
from hfft.strategy.weight import WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor


class FixMatch(MethodSpec):
    """Learn rows without labels: a strongly augmented view gets the class that is predicted for the weakly augmented one.

    Attributes:
        on: the name of the set in `data.sets`; its labels are never used.
        ratio: the paper's mu, rows of the set read for each row of the task; the paper uses 7.
        threshold: probability of the predicted class from which on a row counts; the paper uses 0.95.
        weight: factor of the term; the paper uses 1.
        strong: operations of the strong view, as in `data.augment`, which they follow; None for RandAugment with an erasure for
            images, dropped and swapped words for texts. `back_translation` reads a column of the set.
    """

    main = "on"
    on: str
    ratio: int = Field(default=1, ge=1)
    threshold: float = Field(default=0.95, ge=0, le=1)
    weight: WeightSpec = 1.0
    strong: Annotated[list[Any] | None, AfterValidator(checked)] = None

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else FixedThreshold(self)


class FixedThreshold(WeakAndStrong):
    """Counts the rows above one threshold; the mean is over all rows, so that a step with few sure rows has a small term."""

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted cross-entropy of each row's strong views."""
        weak = seen.notes[self.name][: len(seen.labels)]
        return {self.name: self.weight(seen.at) * pseudo_label_loss(self.strong(seen), weak, self.spec.threshold)}
