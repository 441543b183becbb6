"""Asymmetric loss for rows with few of many labels (ASL; Ridnik et al. 2021, arXiv:2009.14119)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import At, Inner, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor


class AsymmetricLoss(MethodSpec):
    """Binary cross-entropy in which the many labels that a row lacks count less, the easy ones least.

    Attributes:
        gamma_neg: exponent that lowers the loss of labels that a row lacks and that are predicted well.
        gamma_pos: the same for labels that a row has; the paper uses 0.
        clip: a label that a row lacks costs nothing up to this probability.
    """

    main = "gamma_neg"
    gamma_neg: float = Field(default=4.0, ge=0)
    gamma_pos: float = Field(default=0.0, ge=0)
    clip: float = Field(default=0.05, ge=0, lt=1)

    def build(self) -> Method | None:
        """The method; None if all options are 0, which is binary cross-entropy."""
        return Asymmetric(self) if self.gamma_neg or self.gamma_pos or self.clip else None


class Asymmetric(Method):
    """Replaces the task loss. Of mixed rows, it is the loss of each row's labels times its share."""

    problems = ("multi_label_classification",)
    replaces_loss = True

    def __init__(self, spec: AsymmetricLoss):
        self.spec = spec

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The asymmetric loss, averaged over the classes."""
        return asymmetric_loss(logits, labels, self.spec.gamma_neg, self.spec.gamma_pos, self.spec.clip)


def asymmetric_loss(
    logits: Tensor, labels: Tensor, gamma_neg: float = 4.0, gamma_pos: float = 0.0, clip: float = 0.05
) -> Tensor:
    """Mean over the classes of `-(1 - p)^gamma_pos log p` (has the label) or `-q^gamma_neg log(1 - q)` (lacks it): `(B,)`.

    p is the label's probability and `q = max(p - clip, 0)`. Logits `(B, C)`, labels `(B, C)` of 0 and 1, or between
    them. The paper's code adds the classes up; binary cross-entropy is averaged, and so is this.
    """
    labels, p, least = labels.to(logits.dtype), logits.sigmoid(), torch.finfo(logits.dtype).eps
    # at 0, the gradient is not finite for exponents below 1
    has = (1 - p).clamp(min=least) ** gamma_pos * F.logsigmoid(logits)
    log_rest = torch.log((1 - p + clip).clamp(max=1)) if clip else F.logsigmoid(-logits)
    lacks = (p - clip).clamp(min=least) ** gamma_neg * log_rest
    return -(labels * has + (1 - labels) * lacks).mean(1)
