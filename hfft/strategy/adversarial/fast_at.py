"""Adversarial training with one step from a random start (fast AT; Wong, Rice and Kolter 2020, arXiv:2001.03994)."""

from __future__ import annotations

from hfft.strategy.adversarial.attacks import fgsm
from hfft.strategy.adversarial.pixels import IMAGES, Level, PixelAttack
from hfft.strategy.method import TASK, Batch, Method, MethodSpec


class FastAT(MethodSpec):
    """As pgd with a single step; a step costs twice as much. Levels are of pixels in [0, 1].

    Attributes:
        epsilon: the largest change of a level (L-infinity); a fraction may be written, such as 8/255.
        step: change of a level in the step; None for the paper's 1.25 epsilon. With a longer one, or in long training, the
            accuracy under stronger attacks may suddenly fall to 0.
    """

    main = "epsilon"
    epsilon: Level = 8 / 255
    step: Level | None = None

    def build(self) -> Method | None:
        """The method; None if epsilon is 0."""
        return AttackedOnce(self) if self.epsilon else None


class AttackedOnce(PixelAttack):
    """Replaces the task's images by those after one step from a random point, drawn for each row."""

    salt = 4
    passes = 2

    def __init__(self, spec: FastAT):
        self.spec = spec

    def batch(self, batch: Batch) -> None:
        """Attack the model as it is before the step."""
        epsilon, images = self.spec.epsilon, self.pixels.shown(batch.part(TASK)[IMAGES])
        step = 1.25 * epsilon if self.spec.step is None else self.spec.step
        found = fgsm(self.loss(batch), images, epsilon, step, self.start_of(batch, images, epsilon))
        batch.replace(TASK, {IMAGES: self.pixels.normalised(found)})
