"""Learn from the worst images within a radius: PGD adversarial training (Madry et al. 2018, arXiv:1706.06083)."""

from __future__ import annotations

from pydantic import Field

from hfft.strategy.adversarial.attacks import pgd
from hfft.strategy.adversarial.pixels import IMAGES, Level, PixelAttack
from hfft.strategy.method import TASK, Batch, Method, MethodSpec


class PGD(MethodSpec):
    """Each image is replaced by the one of highest loss nearby; a step costs `steps` more passes. Levels are of pixels in [0, 1].

    Attributes:
        epsilon: the largest change of a level (L-infinity); a fraction may be written, such as 8/255.
        step: change of a level in one step of the attack.
        steps: number of steps of the attack; the paper uses 7, measurements of robust accuracy 20 or more.
    """

    main = "epsilon"
    epsilon: Level = 8 / 255
    step: Level = 2 / 255
    steps: int = Field(default=10, ge=1)

    def build(self) -> Method | None:
        """The method; None if epsilon is 0."""
        return Attacked(self) if self.epsilon else None


class Attacked(PixelAttack):
    """Replaces the task's images; the attack starts at a random point, drawn for each row."""

    salt = 3

    def __init__(self, spec: PGD):
        self.spec, self.passes = spec, 1 + spec.steps

    def batch(self, batch: Batch) -> None:
        """Attack the model as it is before the step."""
        spec, images = self.spec, self.pixels.shown(batch.part(TASK)[IMAGES])
        start = self.start_of(batch, images, spec.epsilon)
        found = pgd(self.loss(batch), images, spec.epsilon, spec.step, spec.steps, start)
        batch.replace(TASK, {IMAGES: self.pixels.normalised(found)})
