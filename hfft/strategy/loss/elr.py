"""Early-learning regularisation, for labels that may be wrong (ELR; Liu et al. 2020, arXiv:2007.00151)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, MethodSpec, Pass, Setting
from hfft.strategy.tensors import from_all_processes
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.strategy.method import At

LEAST = 1e-4  # probabilities are kept this far from 0 and 1, as in the authors' code


class ELR(MethodSpec):
    """Hold the predictions for each row near their own average, which settles before wrong labels are learned by heart.

    The average needs as many numbers as there are rows times classes, on the device and in each checkpoint.

    Attributes:
        weight: factor of the term; the paper uses 3 for 10 classes and 7 for 100.
        momentum: the paper's beta, the share of a row's old average that is kept whenever it is seen; it uses 0.7 and 0.9.
    """

    main = "weight"
    weight: WeightSpec = 3.0
    momentum: float = Field(default=0.7, ge=0, lt=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else EarlyLearning(self)


class EarlyLearning(Method):
    """Adds to the loss of a row, whichever loss that is. A row of mixed inputs has no prediction of its own: refused.

    The average of a row moves after each step that is not skipped, in every process. If a step contains a row several
    times, their mean prediction counts once.
    """

    problems = ("single_label_classification",)
    needs = frozenset({"rows", "unmixed"})

    def __init__(self, spec: ELR):
        self.spec = spec
        self.weight = Weight(spec.weight, default=3.0)
        self.step = -1
        self.seen: list[tuple[Tensor, Tensor]] = []  # rows (b,) and predictions (b, C) of the step's micro-batches

    def start(self, setting: Setting) -> None:
        """Begin with averages of 0."""
        assert setting.rows is not None
        dtype = torch.promote_types(next(setting.model.parameters()).dtype, torch.float32)
        self.mean = torch.zeros(setting.rows, setting.outputs, dtype=dtype, device=setting.device)

    def epoch(self, model: nn.Module, outputs_of: object, at: At) -> None:
        """Forget a trial step that was run before the training."""
        self.seen = []

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted term. A recomputed step uses the same averages."""
        logits = seen.logits[TASK]
        if self.name not in seen.notes:
            rows = torch.from_numpy(seen.rows).to(logits.device)
            p = prediction(logits)
            if seen.at.step != self.step:
                self.step, self.seen = seen.at.step, []
            self.seen.append((rows, p))
            seen.notes[self.name] = moved(self.mean[rows].to(p), p, self.spec.momentum)
        return {"elr": self.weight(seen.at) * elr(logits, seen.notes[self.name])}

    def updated(self, model: nn.Module, at: At) -> None:
        """Move the averages of all rows of the step, those of other processes included."""
        empty = self.mean[:0]
        rows = torch.cat([torch.zeros(0, dtype=torch.long, device=empty.device), *(rows for rows, _ in self.seen)])
        rows = from_all_processes(rows)
        p = from_all_processes(torch.cat([empty, *(p.to(empty.dtype) for _, p in self.seen)]))
        self.seen = []
        once, place, counts = rows.unique(return_inverse=True, return_counts=True)
        sums = p.new_zeros(len(once), p.shape[1]).index_add_(0, place, p)
        self.mean[once] = moved(self.mean[once], sums / counts[:, None], self.spec.momentum)

    def state(self) -> dict[str, Tensor]:
        """The averages."""
        return {"mean": self.mean}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the averages."""
        self.mean = state["mean"].to(self.mean)


def prediction(logits: Tensor) -> Tensor:
    """Probabilities `(B, C)` from logits `(B, C)`, kept from 0 and 1, without a gradient; each row adds up to 1."""
    p = logits.detach().softmax(1).clamp(LEAST, 1 - LEAST)
    return p / p.sum(1, keepdim=True)


def moved(mean: Tensor, p: Tensor, momentum: float = 0.7) -> Tensor:
    """`momentum t + (1 - momentum) p` of averages t and predictions p, both `(B, C)`."""
    return momentum * mean + (1 - momentum) * p


def elr(logits: Tensor, mean: Tensor) -> Tensor:
    """`log(1 - <p, t>)` of logits `(B, C)` and averages t `(B, C)` that have moved to this step: `(B,)`, at most 0.

    Added to cross-entropy with a weight, it grows the gradient of rows whose label agrees with the average, and cancels
    that of the others.
    """
    p = logits.softmax(1).clamp(LEAST, 1 - LEAST)
    return torch.log(1 - (p * mean).sum(1))
