"""Learn clean images, and keep predictions where they differ most nearby (TRADES; Zhang et al. 2019, arXiv:1901.08573)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.adversarial.attacks import pgd
from hfft.strategy.adversarial.draws import drawn, normal
from hfft.strategy.adversarial.pixels import IMAGES, Level, PixelAttack
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem

PART = "trades"
NEAR = 1e-3  # standard deviation of the start, in levels: at the images themselves the divergence has no gradient


class TRADES(MethodSpec):
    """Trade accuracy against robustness: adds beta times the divergence of the predictions for an image and an attacked one.

    Levels are of pixels in [0, 1]. A step costs `steps` + 2 passes.

    Attributes:
        beta: weight of the divergence, 1 / lambda in the paper, which uses 1 to 6; less is more accurate on clean images.
        epsilon: the largest change of a level (L-infinity); a fraction may be written, such as 8/255.
        step: change of a level in one step of the attack.
        steps: number of steps of the attack.
    """

    main = "beta"
    beta: WeightSpec = 6.0
    epsilon: Level = 8 / 255
    step: Level = 2 / 255
    steps: int = Field(default=10, ge=1)

    def build(self) -> Method | None:
        """The method; None if beta or epsilon is 0."""
        return None if is_zero(self.beta) or not self.epsilon else Traded(self)


class Traded(PixelAttack):
    """Adds the attacked images as a part; the attack climbs the divergence, not the task loss.

    One pass runs both parts, so that live BatchNorms see clean and attacked images together.
    """

    salt = 5

    def __init__(self, spec: TRADES):
        self.spec, self.passes = spec, 2 + spec.steps
        self.weight = Weight(spec.beta, default=6.0)

    def batch(self, batch: Batch) -> None:
        """Attack the model as it is before the step, from a normal draw for each row."""
        spec, logits = self.spec, self.pixels.logits(batch)
        images = self.pixels.shown(batch.part(TASK)[IMAGES])
        with torch.no_grad():
            clean = logits(images)
        start = NEAR * normal(drawn(batch, images, self.salt))

        def divergence(x: Tensor) -> Tensor:
            return trades(self.problem, clean, logits(x))

        found = pgd(divergence, images, spec.epsilon, spec.step, spec.steps, start)
        batch.put(PART, {**batch.part(TASK), IMAGES: self.pixels.normalised(found)})

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence."""
        return {"trades": self.weight(seen.at) * trades(self.problem, seen.logits[TASK], seen.logits[PART])}


def trades(problem: Problem, clean: Tensor, attacked: Tensor) -> Tensor:
    """`KL(clean || attacked)` of each row, which the attack makes as large as it can; logits `(B, C)` twice -> `(B,)`."""
    return problem.divergence(clean, attacked)
