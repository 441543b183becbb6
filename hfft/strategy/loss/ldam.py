"""Margins that grow for rare classes, and deferred re-weighting (LDAM-DRW; Cao et al. 2019, arXiv:1906.07413)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.loss.class_weights import effective_number_weights
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class LDAM(MethodSpec):
    """Cross-entropy in which a label's logit is lowered by a margin, largest for the rarest class.

    Attributes:
        margin: of the rarest class, in units of the logits. The paper uses 0.5 for logits that are cosines, which it then
            multiplies by 30, so that 15 is the same with a head that gives such logits.
        after: epochs before rows are also weighted by the effective number of their class; None to leave them unweighted.
        beta: of the effective number; the paper uses 0.9999.
    """

    main = "margin"
    margin: float = Field(default=0.5, ge=0)
    after: int | None = Field(default=None, ge=0)
    beta: float = Field(default=0.9999, ge=0, lt=1)

    def build(self) -> Method | None:
        """The method; None if margin is 0 and nothing is weighted."""
        return Margins(self) if self.margin or (self.after is not None and self.beta) else None


class Margins(Method):
    """Replaces the task loss. Of mixed rows, it is the loss of each label, with its margin and weight, times its share."""

    problems = ("single_label_classification",)
    needs = frozenset({"counts"})
    replaces_loss = True

    def __init__(self, spec: LDAM):
        self.spec, self.begins = spec, spec.after or 0

    def start(self, setting: Setting) -> None:
        """Count the classes.

        Raises:
            DataError: a class has no rows.
        """
        counts = setting.counts_above_zero("ldam", "its margin would be infinite")
        self.margins = self.spec.margin * margins(torch.tensor(counts, device=setting.device))
        self.deferred = torch.tensor(effective_number_weights(counts, self.spec.beta), device=setting.device)
        self.factors = torch.ones_like(self.deferred)

    def epoch(self, model: nn.Module, outputs_of: Callable[..., Any], at: At) -> None:
        """Weight the classes from epoch `after` on."""
        if self.spec.after is not None and at.epoch >= self.spec.after:
            self.factors = self.deferred

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss with margins, times the weight of the label's class."""
        return ldam(logits, labels, self.margins.to(logits)) * self.row_weights(labels).to(logits.dtype)

    def row_weights(self, labels: Tensor) -> Tensor:
        """The weight of each row's class in this epoch."""
        return self.factors.to(labels.device)[labels]

    def state(self) -> dict[str, Tensor]:
        """The weights of this epoch."""
        return {"factors": self.factors}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them."""
        self.factors = state["factors"].to(self.factors.device)


def margins(counts: Tensor) -> Tensor:
    """Margin of each class from its number of rows n `(C,)`: proportional to `n^(-1/4)`, the largest is 1."""
    raw = counts.float() ** -0.25
    return raw / raw.max()


def ldam(logits: Tensor, labels: Tensor, margins: Tensor) -> Tensor:
    """Cross-entropy of logits `(B, C)` after the label's logit is lowered by its class's margin `(C,)`, in units of logits.

    Labels are `(B,)`, or `(B, K)` for K classes, each of which then has logits of its own.
    """
    chosen = labels if labels.ndim == 2 else labels[:, None]
    lowered = logits[:, None] - F.one_hot(chosen, logits.shape[1]) * margins[chosen][..., None]
    return -F.log_softmax(lowered, 2).gather(2, chosen[..., None]).view(labels.shape)
