"""Learn from another model's outputs, stored if the inputs cannot change (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, At, Batch, Inner, Method, MethodSpec, Pass, Setting
from hfft.strategy.outputs import logits_of

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem


class Distillation(MethodSpec):
    """Match a teacher's predictions.

    Attributes:
        teacher: a run folder, a model folder or a hub id, with the same classes and the same processor.
        temperature: softmax temperature for both models; 2 to 4 is usual.
        weight: the teacher's share of the loss; the task loss has the rest.
    """

    main = "teacher"
    teacher: str = Field(min_length=1)
    temperature: float = Field(default=2.0, gt=0)
    weight: float = Field(default=0.5, ge=0, le=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return Taught(self) if self.weight else None


class Taught(Method):
    """Runs the teacher once per row if its inputs never change, otherwise in every step."""

    needs = frozenset({"teacher", "rows"})

    def __init__(self, spec: Distillation):
        self.spec = spec
        self.kept: Tensor | None = None

    def start(self, setting: Setting) -> None:
        """Load the teacher; if inputs never change, compute its outputs for all rows, in the data's order, and free it."""
        assert setting.load_model is not None
        assert setting.answers is not None
        self.problem = setting.problem
        try:
            teacher = setting.load_model(self.spec.teacher)
        except BadInput as error:
            raise BadInput(f"strategy.distillation.teacher: {error}") from error
        self.teacher: torch.nn.Module | None = teacher.requires_grad_(False).eval().to(setting.device)
        if setting.fixed_inputs:
            self.kept, self.teacher = setting.answers(self.teacher), None

    def batch(self, batch: Batch) -> None:
        """Compute the teacher's outputs for the rows of the batch, unless they are stored."""
        if self.kept is not None:
            assert batch.rows is not None
            answers = self.kept[torch.from_numpy(batch.rows)]
        else:
            assert self.teacher is not None
            with torch.no_grad():
                answers = logits_of(self.teacher(**batch.part(TASK)))
        batch.notes[self.name] = answers.to(batch.labels.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The task loss times its share."""
        return (1 - self.spec.weight) * inner(logits, labels)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The distillation loss times its share."""
        answers = seen.notes[self.name][: len(seen.labels)]
        return {
            "distillation": self.spec.weight
            * distillation(self.problem, answers, seen.logits[TASK], self.spec.temperature)
        }


def distillation(problem: Problem, teacher: Tensor, student: Tensor, temperature: float = 2.0) -> Tensor:
    """`T^2 KL(teacher || student)` of each row at temperature T; logits `(B, C)` -> `(B,)`."""
    return temperature**2 * problem.divergence(teacher / temperature, student / temperature)
