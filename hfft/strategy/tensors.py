"""Tensors used with a model whose weights FSDP may have sharded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def like(tensor: Tensor, other: Any) -> Tensor:
    """A tensor placed like another one: on its device, and sharded over the processes like it."""
    if hasattr(other, "device_mesh") and not hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
    return tensor.to(other.device)


def whole(tensor: Any) -> Any:
    """A sharded tensor gathered (all processes must call this); any other tensor unchanged."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of several tensors together."""
    return whole(torch.linalg.vector_norm(torch.stack([whole(torch.linalg.vector_norm(t)) for t in tensors])))


def divide_again(model: Any) -> None:
    """Let FSDP reshard what a forward pass left gathered; other models are unchanged."""
    for module in model.modules():
        if hasattr(module, "reshard"):
            module.reshard()
