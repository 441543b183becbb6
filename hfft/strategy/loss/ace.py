"""Compare new classes with each other alone (asymmetric cross-entropy, ER-ACE; Caccia et al. 2022, arXiv:2104.05025)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor


class ACE(MethodSpec):
    """Rows of classes that train has are compared with these classes alone, so that they do not push the others down.

    Rows of other classes, which a memory replays, are compared with all. Without a memory this is the loss of SLCA.

    Attributes:
        enabled: whether it is used.
    """

    main = "enabled"
    enabled: bool = True

    def build(self) -> Method | None:
        """The method; None if it is not enabled."""
        return Apart(self) if self.enabled else None


class Apart(Method):
    """Leaves logits of classes without training rows out of the loss of the others."""

    problems = ("single_label_classification",)
    needs = frozenset({"counts"})

    def __init__(self, spec: ACE):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Find the classes that train has.

        Raises:
            BadInput: it is one class, so that there is nothing to compare.
        """
        self.present = torch.from_numpy(setting.class_counts > 0).to(setting.device)
        if int(self.present.sum()) < 2:
            raise BadInput(
                "strategy.ace: train has rows of one class, which would be compared with nothing; leave it out"
            )

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss with other classes left out."""
        return inner(ace_logits(logits, labels, self.present.to(logits.device)), labels)


def ace_logits(logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Logits `(B, C)`, so low for classes not `present` `(C,)` that they vanish, in rows whose label `(B,)` is present."""
    out = present[labels][:, None] & ~present[None]
    return logits.masked_fill(out, -1e4)
