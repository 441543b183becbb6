"""The Jensen-Shannon divergence of several predictions for the same row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hfft.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor


def jensen_shannon(logits: Sequence[Tensor], multi_label: bool = False) -> Tensor:
    """Mean of KL(p_k || m) over K predictions, where m is their mean: `(B,)`, in nats, between 0 and ln K.

    Args:
        logits: K times `(B, C)`.
        multi_label: each class is right or not; the mean over the classes.
    """
    logs = torch.stack([_logs(x, multi_label) for x in logits])
    mean = logs.logsumexp(0) - math.log(len(logits))
    return (logs.exp() * (logs - mean)).sum(-1).mean((0, 2))


def _logs(logits: Tensor, multi_label: bool) -> Tensor:
    """Log probabilities `(B, distributions, outcomes)`."""
    if multi_label:
        return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], -1)
    return F.log_softmax(logits, 1)[:, None]
