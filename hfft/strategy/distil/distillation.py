"""Learn from another model's outputs, stored if the inputs cannot change (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from hfft.strategy.distil.teacher import FromTeacher, Outputs
from hfft.strategy.method import TASK, At, Batch, Inner, Method, MethodSpec, Pass, Setting
from hfft.strategy.weight import ByGap, Ramp, Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem


class Distillation(MethodSpec):
    """Match a teacher's predictions.

    Attributes:
        teacher: a run folder, a model folder or a hub id, with the same classes; of texts, its tokenizer may be another.
        temperature: softmax temperature for both models; 2 to 4 is usual.
        weight: the teacher's share of the loss, at most 1; the task loss has the rest.
    """

    main = "teacher"
    teacher: str = Field(min_length=1)
    temperature: float = Field(default=2.0, gt=0)
    weight: WeightSpec = 0.5

    @field_validator("weight")
    @classmethod
    def _share(cls, value: WeightSpec) -> WeightSpec:
        if isinstance(value, ByGap):
            value = value if value.high is not None else value.model_copy(update={"high": 1.0})
            largest = max(value.high or 0, value.start or 0)
        else:
            largest = max(value.start, value.end) if isinstance(value, Ramp) else value
        if largest > 1:
            raise ValueError(f"is {largest:g}, but it is the teacher's share of the loss; use at most 1")
        return value

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Taught(self)


class Taught(FromTeacher):
    """Runs the teacher once per row if its inputs never change or are its own, otherwise in every step."""

    own_inputs = True
    needs = frozenset({"teacher", "rows"})

    def __init__(self, spec: Distillation):
        self.spec, self.weight = spec, Weight(spec.weight, default=0.5)

    def start(self, setting: Setting) -> None:
        """Load the teacher; if inputs never change, compute its outputs for all rows, and free it."""
        self.outputs = Outputs.of_model(setting, self.load_teacher(setting))

    def batch(self, batch: Batch) -> None:
        """The teacher's outputs for the rows of the batch."""
        batch.notes[self.name] = self.outputs.of(batch)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The task loss times its share."""
        return (1 - self.weight(at)) * inner(logits, labels)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The distillation loss times its share."""
        answers = seen.notes[self.name][: len(seen.labels)]
        found = distillation(self.problem, answers, seen.logits[TASK], self.spec.temperature)
        return {"distillation": self.weight(seen.at) * found}


def distillation(problem: Problem, teacher: Tensor, student: Tensor, temperature: float = 2.0) -> Tensor:
    """`T^2 KL(teacher || student)` of each row at temperature T; logits `(B, C)` -> `(B,)`."""
    return temperature**2 * problem.divergence(teacher / temperature, student / temperature)
