"""Cross-entropy with its reverse, for labels that may be wrong (Wang et al. 2019, arXiv:1908.06112)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from hfft.lazy import F
from hfft.strategy.method import At, Inner, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor

LOG_0 = -4.0  # the paper's A, which stands for the logarithm of a label's 0


class SymmetricCrossEntropy(MethodSpec):
    """Alpha times cross-entropy plus beta times its reverse, which wrong labels mislead less.

    Attributes:
        alpha: factor of the cross-entropy; the paper uses 0.1 for CIFAR-10 and 6 for CIFAR-100.
        beta: factor of the reverse; the paper uses 1 and 0.1.
    """

    alpha: float = Field(default=0.1, ge=0)
    beta: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _learns(self) -> SymmetricCrossEntropy:
        if not self.alpha and not self.beta:
            raise ValueError("alpha and beta are both 0, so that nothing would be learned; set one of them")
        return self

    def build(self) -> Method | None:
        """The method; None if alpha is 1 and beta 0, which is cross-entropy."""
        return Symmetric(self) if (self.alpha, self.beta) != (1, 0) else None


class Symmetric(Method):
    """Replaces the task loss. Of mixed rows, it is the loss of each label times its share."""

    problems = ("single_label_classification",)
    replaces_loss = True

    def __init__(self, spec: SymmetricCrossEntropy):
        self.spec = spec

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """`-alpha log p - beta A (1 - p)`, where p is the probability of the label."""
        return symmetric_cross_entropy(logits, labels, self.spec.alpha, self.spec.beta)


def symmetric_cross_entropy(logits: Tensor, labels: Tensor, alpha: float = 0.1, beta: float = 1.0) -> Tensor:
    """`alpha H(y, p) + beta H(p, y)` of logits `(B, C)` and labels `(B,)`, or of labels `(B, K)` for K classes.

    H is the cross-entropy, y the label as probabilities of 0 and 1, and log 0 is -4 in the second, as in the paper: with
    the label's probability p, this is `-alpha log p + 4 beta (1 - p)`.
    """
    log_p = F.log_softmax(logits, 1).gather(1, labels if labels.ndim == 2 else labels[:, None])
    return (-alpha * log_p - beta * LOG_0 * (1 - log_p.exp())).view(labels.shape)
