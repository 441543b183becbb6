"""Tensors beside a model whose weights FSDP may have divided."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def like(tensor: Tensor, other: Any) -> Tensor:
    """A tensor where another one is: on its device, and divided among the processes as FSDP divided that one."""
    if hasattr(other, "device_mesh") and not hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
    return tensor.to(other.device)


def whole(tensor: Any) -> Any:
    """A tensor that is divided among the processes, whole, for which all of them must ask; any other as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of some tensors together."""
    return whole(torch.linalg.vector_norm(torch.stack([whole(torch.linalg.vector_norm(t)) for t in tensors])))


@contextlib.contextmanager
def adding_gradients(model: nn.Module) -> Iterator[None]:
    """Add the gradients of a backward pass to those that the weights have, where FSDP divides the weights.

    PyTorch adds in place only what is divided alike, and along a dimension of size 1, such as that of a ViT's class token,
    the gradient of a plain sum is not divided at all.
    """
    divided: Any = [p for p in model.parameters() if p.requires_grad and hasattr(p, "device_mesh")]
    before = [p.grad for p in divided]
    for parameter in divided:
        parameter.grad = None
    yield
    for parameter, grad in zip(divided, before, strict=True):
        found = parameter.grad
        if found is not None:
            found = found.redistribute(placements=parameter.placements)
        parameter.grad = found if grad is None else grad if found is None else grad + found


def divide_again(model: Any) -> None:
    """Let FSDP divide what a forward pass left whole; other models are left alone."""
    for module in model.modules():
        if hasattr(module, "reshard"):
            module.reshard()
