"""Mean teacher: rows without labels get what the averaged model predicts (Tarvainen and Valpola 2017, arXiv:1703.01780)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from hfft.lazy import torch
from hfft.strategy.average.averaged_copy import AveragedCopy
from hfft.strategy.average.means import in_place
from hfft.strategy.method import At, Batch, Companion, Method, MethodSpec, Pass, Setting
from hfft.strategy.semi_supervised.views import Unlabelled, checked
from hfft.strategy.weight import Ramp, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn


class MeanTeacher(MethodSpec):
    """Predict for rows without labels what an exponential moving average of the weights does; the average is scored.

    Attributes:
        on: the name of the set in `data.sets`; its labels are never used.
        ratio: rows of the set read for each row of the task.
        decay: share of the old average kept at each step, less in the first ones: `min(decay, 1 - 1 / (t + 1))`.
        weight: factor of the squared difference of the predictions; rises from 0 over the first 40 % of the steps.
        strong: operations that the model's view has and the average's has not, as in `data.augment`; None for none, as in the
            paper, where both views are drawn alike.
    """

    main = "on"
    on: str
    ratio: int = Field(default=1, ge=1)
    decay: float = Field(default=0.999, ge=0, lt=1)
    weight: WeightSpec = Ramp(end=5.0, over=0.4, shape="sigmoid")
    strong: Annotated[list[Any] | None, AfterValidator(checked)] = None

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else TaughtByAverage(self)


class TaughtByAverage(Unlabelled):
    """Runs the averaged model in every step, without dropout, and updates it after each."""

    def __init__(self, spec: MeanTeacher):
        super().__init__(spec)
        self.passes = 1 + spec.ratio + -(-spec.ratio // 3)

    def start(self, setting: Setting) -> None:
        """Copy the model; the average begins with the pretrained weights."""
        super().start(setting)
        self.teacher = AveragedCopy(setting.model)

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """The set's rows in two draws."""
        found, numbers, strong = {}, self.numbers(rows, epoch, seed), tuple(self.spec.strong or ())
        for k, (teacher, student) in enumerate(zip(self.parts("teacher"), self.parts("student"), strict=True)):
            found[teacher] = Companion(numbers[:, k], of=self.spec.on)
            found[student] = Companion(numbers[:, k], of=self.spec.on, draw=1, augment=strong)
        return found

    def batch(self, batch: Batch) -> None:
        """Note the average's predictions, `(B, ratio, C)`."""
        found = [self.teacher.logits(batch.take(part)).softmax(1) for part in self.parts("teacher")]
        batch.notes[self.name] = torch.stack(found, 1)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted squared difference of each row's companions."""
        answers = seen.notes[self.name][: len(seen.labels)]
        student = torch.stack([seen.logits[part] for part in self.parts("student")], 1)
        return {self.name: self.weight(seen.at) * difference(student, answers)}

    def updated(self, model: nn.Module, at: At) -> None:
        """Move the average towards the new weights."""
        self.teacher.update(at.step, self.spec.decay)

    @contextlib.contextmanager
    def scored(self, model: nn.Module) -> Iterator[None]:
        """Use the average in place of the weights, which are restored bit for bit."""
        with in_place(model, self.state()):
            yield

    def state(self) -> dict[str, Tensor]:
        """The average."""
        return self.teacher.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the average."""
        self.teacher.load(state)


def difference(logits: Tensor, teacher: Tensor) -> Tensor:
    """`||p_student - p_teacher||^2`, meaned over K views: logits and probabilities `(b, K, C)` -> `(b,)`."""
    return (logits.softmax(2) - teacher).square().sum(2).mean(1)
