"""Balanced softmax for imbalanced classes (Ren et al. 2020, arXiv:2007.10740)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.loss.logit_adjustment import CLASS_SHARES
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor


class BalancedSoftmax(MethodSpec):
    """Multiply each class's odds by its number of rows in training. Equal to `logit_adjustment` with a tau of 1.

    Attributes:
        enabled: whether it is used.
    """

    main = "enabled"
    enabled: bool = True

    def build(self) -> Method | None:
        """The method; None if it is not enabled."""
        return Balanced(self) if self.enabled else None


class Balanced(Method):
    """Changes the logits that the loss receives; predictions use the plain logits."""

    problems = ("single_label_classification",)
    needs = frozenset({"counts"})
    only_one = CLASS_SHARES

    def __init__(self, spec: BalancedSoftmax):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Count the classes.

        Raises:
            DataError: a class has no rows.
        """
        counts = setting.counts_above_zero("balanced_softmax", "no logit could predict it")
        self.counts = torch.tensor(counts, device=setting.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of the balanced softmax."""
        return inner(balanced_logits(logits, self.counts.to(logits.device)), labels)


def balanced_logits(logits: Tensor, counts: Tensor) -> Tensor:
    """`f_c + log n_c` of logits f `(B, C)` and rows of each class n `(C,)`; their softmax is `n_c exp f_c / sum_j n_j exp f_j`.

    The prior of logit adjustment is n divided by the number of rows, a constant that the softmax removes: with a tau of 1
    both are the same loss.
    """
    return logits + counts.to(logits.dtype).log()
