"""What every problem answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class Problem:
    """A kind of target.

    Attributes:
        name: the `problem_type` of a recipe.
        classes: whether exactly one of several classes is right.
    """

    name: str
    classes: bool = False

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Summed loss over the targets of each row, `(B,)`, in float32 or the logits' higher precision."""
        raise NotImplementedError

    def targets(self, labels: Tensor) -> Tensor:
        """Number of targets of each row, `(B,)`: what summed losses are divided by, once, over the global batch."""
        return torch.ones(len(labels), device=labels.device)

    def count(self, labels: Tensor) -> Tensor:
        """Number of targets of a batch, a scalar tensor where the labels are; to bring a number would make a GPU wait."""
        return torch.full((), len(labels), device=labels.device)

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the answer `q` from the answer `p`, both logits, of each row: `(B,)`."""
        raise NotImplementedError

    def probabilities(self, logits: Tensor) -> Tensor:
        """What a model's logits answer, in the shape of the logits."""
        raise NotImplementedError

    def uniform(self, outputs: int) -> float | None:
        """The loss of a row whose logits are all zero, in nats; None where that means nothing."""
        return None


def precise(logits: Tensor) -> Tensor:
    """Logits in float32 at least: half precision loses what a loss is made of."""
    return logits if logits.dtype == torch.float64 else logits.float()


LOG_2 = math.log(2)
