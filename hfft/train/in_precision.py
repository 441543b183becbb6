"""Inputs in the precision of a model whose weights are no float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

LOW = (torch.bfloat16, torch.float16)


def in_precision(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch with the model's main input, such as pixels, in the dtype of low-precision weights: many nets do not convert it."""
    name, dtype = getattr(model, "main_input_name", ""), getattr(model, "dtype", torch.float32)
    values = batch.get(name)
    if dtype not in LOW or not isinstance(values, torch.Tensor) or not values.is_floating_point():
        return dict(batch)
    return {**batch, name: values.to(dtype)}
