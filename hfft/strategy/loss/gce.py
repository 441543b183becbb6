"""Generalised cross-entropy, for labels that may be wrong (Zhang and Sabuncu 2018, arXiv:1805.07836)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import At, Inner, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor


class GCE(MethodSpec):
    """From cross-entropy (q near 0) to the mean absolute error (q of 1), which wrong labels mislead least. The paper uses 0.7."""

    main = "q"
    q: float = Field(default=0.7, ge=0, le=1)

    def build(self) -> Method | None:
        """The method; None if q is 0, where the loss is cross-entropy."""
        return Generalised(self) if self.q else None


class Generalised(Method):
    """Replaces the task loss. Of mixed rows, it is the loss of each label times its share."""

    problems = ("single_label_classification",)
    replaces_loss = True

    def __init__(self, spec: GCE):
        self.spec = spec

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """`(1 - p^q) / q`, where p is the probability of the label."""
        return gce(logits, labels, self.spec.q)


def gce(logits: Tensor, labels: Tensor, q: float = 0.7) -> Tensor:
    """`(1 - p^q) / q` of logits `(B, C)` and labels `(B,)`, or of labels `(B, K)` for K classes; q in (0, 1], at most 1 / q."""
    log_p = F.log_softmax(logits, 1).gather(1, labels if labels.ndim == 2 else labels[:, None])
    return (-torch.expm1(q * log_p) / q).view(labels.shape)
