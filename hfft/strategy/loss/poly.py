"""PolyLoss: cross-entropy with a larger first polynomial coefficient (Leng et al. 2022, arXiv:2204.12511)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.strategy.method import At, Inner, Method, MethodSpec

if TYPE_CHECKING:
    from torch import Tensor


class Poly(MethodSpec):
    """Cross-entropy plus epsilon times (1 - the label's probability). The paper uses 1 to 2."""

    main = "epsilon"
    epsilon: float = 1.0

    def build(self) -> Method | None:
        """The method; None if epsilon is 0."""
        return PolyLoss(self) if self.epsilon else None


class PolyLoss(Method):
    """Adds to the loss of a row, whichever loss that is."""

    problems = ("single_label_classification",)

    def __init__(self, spec: Poly):
        self.spec = spec

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """`-log p + epsilon (1 - p)`, where p is the probability of the label."""
        return inner(logits, labels) + self.spec.epsilon * lacking(logits, labels)


def lacking(logits: Tensor, labels: Tensor) -> Tensor:
    """`1 - p` of logits `(B, C)` and labels `(B,)`, or of labels `(B, K)` for K classes."""
    chosen = labels if labels.ndim == 2 else labels[:, None]
    return (1 - logits.softmax(1).gather(1, chosen)).view(labels.shape)
