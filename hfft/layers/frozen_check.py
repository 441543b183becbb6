"""Proof that frozen means frozen: every frozen tensor is compared, bit by bit, with its value before training."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn

from hfft.layers.freeze import frozen_modules


def frozen_tensors(model: nn.Module, live_norms: bool = False) -> dict[str, torch.Tensor]:
    """Each parameter that does not learn and each buffer of a frozen module, by name.

    Args:
        live_norms: the statistics of frozen norms are still updated, and are left out.
    """
    statistics = {
        id(buffer)
        for frozen in frozen_modules(model)
        for module in frozen.modules()
        if not (live_norms and getattr(module, "track_running_stats", False))
        for buffer in module.buffers(recurse=False)
    }
    tensors: dict[str, torch.Tensor] = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    return tensors | {name: b for name, b in model.named_buffers() if id(b) in statistics}


def frozen_digests(model: nn.Module, live_norms: bool = False) -> dict[str, str]:
    """Name -> SHA-256 of the bytes of each frozen tensor."""
    return {name: digest(tensor) for name, tensor in frozen_tensors(model, live_norms).items()}


def moved(model: nn.Module, before: dict[str, str]) -> list[str]:
    """Names of the frozen tensors that are have changed."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return [name for name, was in before.items() if digest(tensors[name]) != was]


def digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes, whatever its dtype or device."""
    flat = whole(tensor.detach()).to("cpu").contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy() if flat.numel() else b"").hexdigest()


def whole(value: Any) -> Any:
    """A tensor that FSDP shards over the processes, gathered (all processes must call this); any other tensor unchanged."""
    gather = getattr(value, "full_tensor", None)
    return value if gather is None else gather()
