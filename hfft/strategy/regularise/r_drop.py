"""Run every row twice and penalise different predictions (R-Drop; Liang et al. 2021, arXiv:2106.14448)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting, Target
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.tasks.problem import Problem

COPY = "copy"


class RDrop(MethodSpec):
    """Penalise the divergence between two passes with different dropout; a step costs twice as much.

    Attributes:
        weight: factor of the divergence; the paper uses 0.5 to 5.
    """

    main = "weight"
    weight: WeightSpec = 1.0

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Twice(self)


class Twice(Method):
    """The task loss is the mean of both passes; the symmetric divergence of their predictions is added."""

    passes = 2

    def __init__(self, spec: RDrop):
        self.spec, self.weight = spec, Weight(spec.weight)

    def start(self, setting: Setting) -> None:
        """Make sure that the two passes differ.

        Raises:
            BadInput: nothing in the model is random.
        """
        self.problem = setting.problem
        config = getattr(setting.model, "config", None)
        stated = [value for key, value in vars(config).items() if "drop" in key] if config is not None else []
        rates = [getattr(module, "p", 0.0) for module in setting.model.modules() if "Drop" in type(module).__name__]
        if not any(isinstance(rate, float) and rate > 0 for rate in (*stated, *rates)):
            raise BadInput(
                "strategy.r_drop: the model has no dropout, so both passes are the same; set one, such as "
                "head.dropout=0.1 or backbone.config={hidden_dropout_prob: 0.1}, or leave r_drop out"
            )

    def batch(self, batch: Batch) -> None:
        """Add the same rows a second time."""
        batch.put(COPY)
        batch.targets = [again for target in batch.targets for again in _twice(target, len(batch.labels))]

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence."""
        return {"r_drop": self.weight(seen.at) * r_drop(self.problem, seen.logits[TASK], seen.logits[COPY])}


def _twice(target: Target, rows: int) -> list[Target]:
    """A target of the task for both passes, half each; one of another part, which is not run again, as it is."""
    if target.part != TASK:
        return [target]
    whole = torch.ones(rows, device=target.labels.device) if target.factor is None else target.factor
    return [replace(target, factor=whole / 2, part=part) for part in (TASK, COPY)]


def r_drop(problem: Problem, left: Tensor, right: Tensor) -> Tensor:
    """Mean of the two divergences KL(p || q) and KL(q || p) between two sets of logits `(B, C)`: `(B,)`."""
    return (problem.divergence(left, right) + problem.divergence(right, left)) / 2
