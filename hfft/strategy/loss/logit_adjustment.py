"""Logit adjustment for imbalanced classes (Menon et al. 2021, arXiv:2007.07314)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor


CLASS_SHARES = "shifts the logits by the shares of the classes"


class LogitAdjustment(MethodSpec):
    """Add tau times the log of each class's share of the rows to its logit in training. The paper uses 1."""

    main = "tau"
    tau: float = Field(default=1.0, ge=0)

    def build(self) -> Method | None:
        """The method; None if tau is 0."""
        return Adjusted(self) if self.tau else None


class Adjusted(Method):
    """Changes the logits that the loss receives; predictions use the plain logits."""

    problems = ("single_label_classification",)
    needs = frozenset({"counts"})
    only_one = CLASS_SHARES

    def __init__(self, spec: LogitAdjustment):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Count the classes.

        Raises:
            DataError: a class has no rows.
        """
        shift = log_prior(setting.counts_above_zero("logit_adjustment", "the logarithm of its share is undefined"))
        self.shift = self.spec.tau * torch.tensor(shift, device=setting.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of `f(x) + tau log(prior)`."""
        return inner(logits + self.shift.to(logits), labels)


def log_prior(counts: Sequence[int]) -> list[float]:
    """Log of each class's share of the rows.

    Raises:
        ValueError: a class has no examples.
    """
    import math

    if 0 in counts:
        raise ValueError(f"class {list(counts).index(0)} has no rows, so the logarithm of its share is undefined")
    return [math.log(count / sum(counts)) for count in counts]
