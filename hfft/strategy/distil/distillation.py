"""Learn from the answers of another model, kept where they cannot change (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, At, Batch, Inner, Method, MethodSpec, Pass, Setting
from hfft.strategy.outputs import logits_of

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem


class Distillation(MethodSpec):
    """Let the answers agree with a teacher's.

    Attributes:
        teacher: a run folder, a model folder or a hub id, of the same classes and with the same processor.
        temperature: at which both answer; 2 to 4 is usual.
        weight: share of the teacher in the loss; the task loss has the rest.
    """

    main = "teacher"
    teacher: str = Field(min_length=1)
    temperature: float = Field(default=2.0, gt=0)
    weight: float = Field(default=0.5, ge=0, le=1)

    def build(self) -> Method | None:
        """None at weight 0."""
        return Taught(self) if self.weight else None


class Taught(Method):
    """Asks the teacher once for each row where its inputs never change, else in every step."""

    needs = frozenset({"teacher", "rows"})

    def __init__(self, spec: Distillation):
        self.spec = spec
        self.kept: Tensor | None = None

    def start(self, setting: Setting) -> None:
        """Load the teacher; where inputs are fixed, let it answer all rows, in the data's order, and let it go."""
        assert setting.load_model is not None
        assert setting.answers is not None
        self.problem = setting.problem
        self.teacher: torch.nn.Module | None = setting.load_model(self.spec.teacher).requires_grad_(False).eval()
        self.teacher.to(setting.device)
        if setting.fixed_inputs:
            self.kept, self.teacher = setting.answers(self.teacher), None

    def batch(self, batch: Batch) -> None:
        """The teacher's answers to the task's rows, as they are run."""
        if self.kept is not None:
            assert batch.rows is not None
            answers = self.kept[torch.from_numpy(batch.rows)]
        else:
            assert self.teacher is not None
            with torch.no_grad():
                answers = logits_of(self.teacher(**batch.part(TASK)))
        batch.notes[self.name] = answers.to(batch.labels.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The task's share of the loss."""
        return (1 - self.spec.weight) * inner(logits, labels)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The teacher's share."""
        answers = seen.notes[self.name][: len(seen.labels)]
        return {
            "distillation": self.spec.weight
            * distillation(self.problem, answers, seen.logits[TASK], self.spec.temperature)
        }


def distillation(problem: Problem, teacher: Tensor, student: Tensor, temperature: float = 2.0) -> Tensor:
    """`T^2 KL(teacher || student)` of each row at temperature T; logits `(B, C)` -> `(B,)`."""
    return temperature**2 * problem.divergence(teacher / temperature, student / temperature)
