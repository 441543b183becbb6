"""Keep predictions smooth around each row (smoothness-inducing regulariser; SMART, Jiang et al. 2020, arXiv:1911.03437)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.adversarial.attacks import gradient, per_row
from hfft.strategy.adversarial.draws import drawn, normal
from hfft.strategy.adversarial.embeddings import Embeddings
from hfft.strategy.adversarial.pixels import IMAGES, Pixels
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.tasks.problem import Problem

PART = "smart"
OF_EMBEDDINGS, OF_PIXELS = 0.003, 0.01  # the default epsilon


class SMART(MethodSpec):
    """Penalise the largest change of the predictions near each row: near a text's embeddings, or an image's pixels in [0, 1].

    A step costs `steps` + 2 passes and one more forward. The paper's Bregman proximal point method is no part of this.

    Attributes:
        weight: factor of the penalty; the paper uses 1.
        epsilon: the largest change of an element (L-infinity); default: 0.003 for a text's embeddings, 0.01 for pixels, where
            0.003 left the accuracy of thirteen runs on digits as it was and 0.03 harmed photographs. The paper states 1e-5, where
            MiniLM's divergence on TREC is 3e-7; at 0.003 it is 0.03 and 6% of the predictions change, at 0.01 34%.
        step: change, in one step, of the element with the largest gradient; in the paper a hundred times epsilon.
        steps: number of steps that look for the largest change; the paper uses 1.
    """

    main = "weight"
    weight: WeightSpec = 1.0
    epsilon: float | None = Field(default=None, ge=0)
    step: float = Field(default=0.3, gt=0)
    steps: int = Field(default=1, ge=1)

    def build(self) -> Method | None:
        """The method; None if weight or epsilon is 0."""
        return None if is_zero(self.weight) or self.epsilon == 0 else Smoothed(self)


class Smoothed(Method):
    """Adds the rows with a small change as a part, and the divergence of both predictions to the loss."""

    needs = frozenset({"inputs", "rows", "image_or_text"})
    attacks = True
    salt = 8

    def __init__(self, spec: SMART):
        self.spec, self.passes = spec, 2 + spec.steps
        self.weight = Weight(spec.weight)
        self.pixels: Pixels | None = None

    def start(self, setting: Setting) -> None:
        """Find what is changed: pixels or embeddings."""
        self.problem = setting.problem
        if getattr(setting.model, "main_input_name", "") == IMAGES:
            self.pixels = Pixels.of(setting, self.name)
        else:
            self.embeddings = Embeddings(setting, self.name)
        usual = OF_EMBEDDINGS if self.pixels is None else OF_PIXELS
        self.epsilon = usual if self.spec.epsilon is None else self.spec.epsilon

    def batch(self, batch: Batch) -> None:
        """Find the change of each row, for the model in `eval()` as it is before the step."""
        inputs = batch.part(TASK)
        if self.pixels is None:
            change, real = self.embeddings.zeros(batch), self.embeddings.real(batch)
            batch.notes[self.name] = self._change(batch, change, self._logits_of_text(batch, inputs)) * real
            batch.put(PART)
        else:
            images, logits = self.pixels.shown(inputs[IMAGES]), self.pixels.logits(batch)
            found = self._change(batch, images, lambda change: logits((images + change).clamp(0, 1)))
            batch.put(PART, {**inputs, IMAGES: self.pixels.normalised((images + found).clamp(0, 1))})

    def _logits_of_text(self, batch: Batch, inputs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
        real, logits = self.embeddings.real(batch), batch.logits
        assert logits is not None

        def moved(change: Tensor) -> Tensor:
            with self.embeddings.shifted(change * real):
                return logits(inputs)

        return moved

    def _change(self, batch: Batch, like: Tensor, logits: Callable[[Tensor], Tensor]) -> Tensor:
        spec, epsilon = self.spec, self.epsilon
        with torch.no_grad():
            clean = logits(torch.zeros_like(like))
        start = epsilon * normal(drawn(batch, like, self.salt))

        def divergence(change: Tensor) -> Tensor:
            return smart(self.problem, clean, logits(change))

        return smart_change(divergence, start, epsilon, spec.step, spec.steps)

    def around(self, model: nn.Module, batch: Batch) -> contextlib.AbstractContextManager[Any]:
        """Move the embeddings of the part by its change."""
        if self.pixels is not None:
            return contextlib.nullcontext()
        return self.embeddings.shifted(batch.notes[self.name], batch.parts.index(PART))

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence."""
        return {"smart": self.weight(seen.at) * smart(self.problem, seen.logits[TASK], seen.logits[PART])}


def smart(problem: Problem, left: Tensor, right: Tensor) -> Tensor:
    """`KL(p || q) + KL(q || p)` of each row, for a regression the squared distance; logits `(B, C)` twice -> `(B,)`."""
    if problem.name == "regression":
        return problem.divergence(left, right)
    return problem.divergence(left, right) + problem.divergence(right, left)


def smart_change(
    divergence: Callable[[Tensor], Tensor], start: Tensor, epsilon: float, step: float = 0.3, steps: int = 1
) -> Tensor:
    """`c <- clip(c + step * g / ||g||_inf, -epsilon, epsilon)`, g being the gradient of a row's divergence at c.

    Args:
        divergence: changes `(B, …)` -> the divergence of each row, `(B,)`.
        start: `(B, …)`; not zero, where the divergence has no gradient.

    Returns:
        `(B, …)`.
    """
    change = start.clamp(-epsilon, epsilon)
    for _ in range(steps):
        change = (change + step * per_row(gradient(divergence, change), math.inf)).clamp(-epsilon, epsilon)
    return change
