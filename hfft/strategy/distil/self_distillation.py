"""Stay consistent with an earlier state of oneself (mean teacher; Tarvainen and Valpola 2017, arXiv:1703.01780)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hfft.strategy.average.averaged_copy import AveragedCopy
from hfft.strategy.distil.teacher import Outputs
from hfft.strategy.method import TASK, At, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.tasks.problem import Problem


PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


class SelfDistillation(MethodSpec):
    """Predict what an earlier state of the model itself predicts.

    Attributes:
        teacher: `ema`, an exponential moving average of the weights, without dropout; or `start`, the model before training,
            for a head that knows the classes already.
        weight: factor of the squared difference of the predictions.
        decay: for `ema`: the share of the old average kept at each step, less in the first ones: `min(decay, 1 - 1 / (t + 1))`.
    """

    main = "teacher"
    teacher: Literal["ema", "start"] = "ema"
    weight: WeightSpec = 1.0
    decay: float = Field(default=0.99, ge=0, lt=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        if is_zero(self.weight):
            return None
        return OwnAverage(self) if self.teacher == "ema" else OwnStart(self)


class OwnAverage(Method):
    """Runs the averaged model in every step, and updates it after each."""

    needs = frozenset({"inputs"})
    problems = PROBLEMS

    def __init__(self, spec: SelfDistillation):
        self.spec, self.weight = spec, Weight(spec.weight)

    def start(self, setting: Setting) -> None:
        """Copy the model; the average begins with the pretrained weights."""
        self.problem, self.teacher = setting.problem, AveragedCopy(setting.model)

    def batch(self, batch: Batch) -> None:
        """The average's predictions."""
        batch.notes[self.name] = self.teacher.logits(batch.part(TASK))

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted difference."""
        answers = seen.notes[self.name][: len(seen.labels)]
        return {self.name: self.weight(seen.at) * consistency(self.problem, answers, seen.logits[TASK])}

    def updated(self, model: nn.Module, at: At) -> None:
        """Move the average towards the new weights."""
        self.teacher.update(at.step, self.spec.decay)

    def state(self) -> dict[str, Tensor]:
        """The average."""
        return self.teacher.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the average."""
        self.teacher.load(state)


class OwnStart(Method):
    """Computes the predictions of the start once per row if the inputs never change, otherwise in every step."""

    needs = frozenset({"rows", "head"})
    problems = PROBLEMS

    def __init__(self, spec: SelfDistillation):
        self.spec, self.weight = spec, Weight(spec.weight)

    def start(self, setting: Setting) -> None:
        """Compute the predictions for all rows, or copy the model."""
        model = setting.model
        self.problem = setting.problem
        if not setting.fixed_inputs:
            model = copy.deepcopy(model).requires_grad_(False).eval()
        self.outputs = Outputs.of_model(setting, model)

    def batch(self, batch: Batch) -> None:
        """The predictions of the start for the rows of the batch."""
        batch.notes[self.name] = self.outputs.of(batch)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted difference."""
        answers = seen.notes[self.name][: len(seen.labels)]
        return {self.name: self.weight(seen.at) * consistency(self.problem, answers, seen.logits[TASK])}


def consistency(problem: Problem, teacher: Tensor, student: Tensor) -> Tensor:
    """`||p_teacher - p_student||^2` of each row, of probabilities or values; logits `(B, C)` -> `(B,)`."""
    return (problem.probabilities(teacher) - problem.probabilities(student)).square().sum(1)
