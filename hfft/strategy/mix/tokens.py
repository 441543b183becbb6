"""Which tokens of a batch are words, and numbers drawn for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from hfft.strategy.method import At, Setting

IDS, MASK = "input_ids", "attention_mask"


def special_ids(setting: Setting) -> list[int]:
    """The ids of the tokenizer's special tokens; without a tokenizer, of the model's padding."""
    if setting.tokenizer is not None:
        return sorted(setting.tokenizer.all_special_ids)
    pad = getattr(getattr(setting.model, "config", None), "pad_token_id", None)
    return [] if pad is None else [pad]


def attended(inputs: Mapping[str, Any]) -> Tensor:
    """`(B, L)` whether a token is no padding; without a mask, all are taken for real."""
    mask = inputs.get(MASK)
    return torch.ones_like(inputs[IDS], dtype=torch.bool) if mask is None else mask.bool()


def words(inputs: Mapping[str, Any], special: list[int]) -> Tensor:
    """`(B, L)` whether a token is neither padding nor special."""
    ids = inputs[IDS]
    return attended(inputs) & ~torch.isin(ids, torch.tensor(special, dtype=ids.dtype, device=ids.device))


def token_draws(at: At, rows: np.ndarray, real: Tensor, salt: int) -> Tensor:
    """`(B, L)` a number in [0, 1) for each token: the same however many tokens pad the row, and at whichever end."""
    draws = torch.from_numpy(at.draws(rows, real.shape[1], salt)).to(real.device, torch.float32)
    return draws.gather(1, (real.long().cumsum(1) - 1).clamp(min=0))
