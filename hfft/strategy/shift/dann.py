"""Make features that do not tell two sets apart (DANN; Ganin et al. 2016, arXiv:1505.07818)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import F
from hfft.strategy.method import TASK, Method, Pass
from hfft.strategy.shift.adversary import Adversary, AdversarySpec
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor


class DANN(AdversarySpec):
    """Train a network to tell both sets apart by the head's inputs, and the backbone to prevent it.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the adversarial loss.
        alpha: how fast the reversed gradient grows over the run: its factor is `2 / (1 + exp(-alpha p)) - 1` at the fraction p.
        hidden: width of the two hidden layers of the network, which learns at the head's rate and is not published.
    """

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else DomainAdversary(self)


class DomainAdversary(Adversary):
    """Adds the loss of a discriminator behind a reversed gradient. Results vary even for one seed: compare several."""

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted loss of the discriminator, log 2 where it learned nothing."""
        tell, rows = self.inside["network"], len(self.parts)
        source = tell(self.reversed(seen.features[TASK], seen.at)).squeeze(1)
        target = tell(self.reversed(self.target(seen.features), seen.at)).view(rows, -1)
        return {"dann": self.weight(seen.at) * domain_loss(source, target)}


def domain_loss(source: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy in nats, the mean of both sets' `(B,)`.

    Args:
        source: scores of the task's rows `(B,)`, high where they are taken for the task's.
        target: scores of the other set's rows, K for each of the task's `(K, B)`.
    """
    return (F.softplus(-source) + F.softplus(target).mean(0)) / 2
