"""Focal loss: rows that are predicted well count less (Lin et al. 2017, arXiv:1708.02002)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor


class Focal(MethodSpec):
    """Focal loss in place of cross-entropy, or, with several labels a row, of each class's binary one. The paper uses gamma 2."""

    main = "gamma"
    gamma: float = Field(default=2.0, ge=0)

    def build(self) -> Method | None:
        """The method; None if gamma is 0, which is cross-entropy."""
        return FocalLoss(self) if self.gamma else None


class FocalLoss(Method):
    """Replaces the task loss. Of mixed rows, it is the loss of each label times its share."""

    problems = ("single_label_classification", "multi_label_classification")
    replaces_loss = True

    def __init__(self, spec: Focal):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Remember whether a row may have several labels."""
        self.loss = binary_focal if setting.problem.multi_label else focal

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """`-(1 - p)^gamma log p`, where p is the probability of the label, or of having or lacking each class."""
        return self.loss(logits, labels, self.spec.gamma)


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """`-(1 - p)^gamma log p` of logits `(B, C)` and labels `(B,)`, or of labels `(B, K)` for K classes."""
    log_p = F.log_softmax(logits, 1).gather(1, labels if labels.ndim == 2 else labels[:, None])
    # at 0, the gradient is not finite for gamma below 1
    wrong = (1 - log_p.exp()).clamp(min=torch.finfo(logits.dtype).eps)
    return (-(wrong**gamma) * log_p).view(labels.shape)


def binary_focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """`-(1 - p)^gamma log p`, averaged over the classes, of logits `(B, C)` and labels `(B, C)` of 0 and 1: `(B,)`.

    p is the probability of what is true of the class, to have it or to lack it; the paper's own form, without its alpha.
    For labels y between 0 and 1, it is y times the loss of having the class plus 1 - y times that of lacking it.
    """
    labels, least = labels.to(logits.dtype), torch.finfo(logits.dtype).eps
    has = (1 - logits.sigmoid()).clamp(min=least) ** gamma * F.logsigmoid(logits)
    lacks = logits.sigmoid().clamp(min=least) ** gamma * F.logsigmoid(-logits)
    return -(labels * has + (1 - labels) * lacks).mean(1)
