"""Random starts of attacks, the same for every split of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import Batch

if TYPE_CHECKING:
    from torch import Tensor


def drawn(batch: Batch, like: Tensor, salt: int) -> Tensor:
    """Numbers in [0, 1) in the shape of `like` `(B, …)`, each row's from (seed, epoch, row).

    They are drawn in the order of a row's elements, so that those of a text's tokens do not depend on the padding behind them.
    """
    assert batch.rows is not None
    numbers = batch.at.draws(batch.rows, like[0].numel(), salt)
    return torch.from_numpy(numbers).to(like.device, like.dtype).view(like.shape)


def normal(uniform: Tensor) -> Tensor:
    """Numbers in [0, 1) as draws from a standard normal distribution."""
    edge = torch.finfo(uniform.dtype).eps
    return torch.special.ndtri(uniform.clamp(edge, 1 - edge))
