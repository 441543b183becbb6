"""Attacks on images in [0, 1], before normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.adversarial.draws import drawn
from hfft.strategy.method import TASK, Batch, Method, Setting

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem

IMAGES = "pixel_values"


def fraction(value: Any) -> Any:
    """A number written as a fraction, such as `8/255`."""
    above, slash, below = value.partition("/") if isinstance(value, str) else ("", "", "")
    try:
        return float(above) / float(below) if slash else value
    except (ValueError, ZeroDivisionError):
        return value


Level = Annotated[float, BeforeValidator(fraction), Field(ge=0, le=1)]  # of pixels in [0, 1]


class PixelAttack(Method):
    """A method that moves the pixels of the task's rows, each row by itself, so that the step is the same for every split.

    The model is in `eval()` while an attack is crafted: norms use their stored statistics and dropout is off.

    Attributes:
        salt: makes the draws of such methods differ from each other.
    """

    needs = frozenset({"inputs", "pixels", "rows"})
    attacks = True
    salt: int

    def start(self, setting: Setting) -> None:
        """Remember how the processor normalises.

        Raises:
            BadInput: this is unknown.
        """
        self.problem = setting.problem
        self.pixels = Pixels.of(setting, self.name)

    def loss(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Images in [0, 1] in the place of the task's -> the task loss of each row, `(B,)`."""
        logits, loss = self.pixels.logits(batch), target_loss(batch, self.problem)
        return lambda images: loss(logits(images))

    def start_of(self, batch: Batch, images: Tensor, radius: float) -> Tensor:
        """Changes of images to start from, uniform in [-radius, radius]."""
        return (2 * drawn(batch, images, self.salt) - 1) * radius


class Pixels:
    """The model's inputs as images in [0, 1], and back.

    Args:
        black, white: the inputs that stand for 0 and 1, a number per channel.
    """

    def __init__(self, black: Tensor, white: Tensor):
        self.black, self.span = black.view(-1, 1, 1), (white - black).view(-1, 1, 1)

    @classmethod
    def of(cls, setting: Setting, name: str) -> Pixels:
        """Those of a run.

        Raises:
            BadInput: it is not known how the processor normalises.
        """
        if setting.black_and_white is None:
            raise BadInput(
                f"strategy.{name}: attacks pixels in [0, 1], but the model's image processor does more than resize, crop and "
                f"normalise; choose another backbone.processor, or leave {name} out"
            )
        black, white = (torch.tensor(values, device=setting.device) for values in setting.black_and_white)
        return cls(black, white)

    def shown(self, values: Tensor) -> Tensor:
        """Inputs of the model `(B, C, H, W)` as images in [0, 1]."""
        return ((values - self.black.to(values.dtype)) / self.span.to(values.dtype)).clamp(0, 1)

    def normalised(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as inputs of the model."""
        return images * self.span.to(images.dtype) + self.black.to(images.dtype)

    def logits(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Images in [0, 1] in the place of the task's -> logits `(B, C)` of the model in `eval()`."""
        assert batch.logits is not None
        inputs, logits = batch.part(TASK), batch.logits
        return lambda images: logits({**inputs, IMAGES: self.normalised(images)})


def target_loss(batch: Batch, problem: Problem) -> Callable[[Tensor], Tensor]:
    """Logits of the task's rows -> their loss `(B,)`, with the labels of mixed rows in their shares."""

    def loss(logits: Tensor) -> Tensor:
        losses = [
            problem.loss(logits, t.labels) * (1 if t.factor is None else t.factor)
            for t in batch.targets
            if t.part == TASK
        ]
        return torch.stack(losses).sum(0)

    return loss
