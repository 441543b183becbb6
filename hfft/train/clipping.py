"""Clip gradients whose rows have weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn


def clip(accelerator: Accelerator, parameters: Sequence[Tensor], limit: float, weight: Tensor | None) -> Tensor:
    """Clip the gradient of a step, and return its norm; the device is not waited for.

    Args:
        limit: the largest norm per unit of weight.
        weight: mean weight of the step's rows; None if they have none.
    """
    if weight is None:
        return accelerator.clip_grad_norm_(parameters, limit)
    norm = accelerator.clip_grad_norm_(parameters, float("inf"))
    least = torch.finfo(weight.dtype).tiny  # a step of rows without weight has no gradient
    nn.utils.clip_grads_with_norm_(parameters, limit, norm / weight.clamp(min=least))
    return norm
