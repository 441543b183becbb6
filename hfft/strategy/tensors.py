"""Tensors used with a model whose weights FSDP may have sharded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def like(tensor: Tensor, other: Any) -> Tensor:
    """A tensor placed like another one: on its device, and sharded over the processes like it."""
    if hasattr(other, "device_mesh") and not hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
    return tensor.to(other.device)


def whole(tensor: Any) -> Any:
    """A sharded tensor gathered (all processes must call this); any other tensor unchanged."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def states_of(output: Any) -> Tensor:
    """What a block returns for each position, where it returns that alone or first."""
    return output if torch.is_tensor(output) else output[0]


def with_states(output: Any, states: Tensor) -> Any:
    """What a block returned, with other states."""
    return states if torch.is_tensor(output) else (states, *output[1:])


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of several tensors together."""
    return whole(torch.linalg.vector_norm(torch.stack([whole(torch.linalg.vector_norm(t)) for t in tensors])))


@contextlib.contextmanager
def adding_gradients(model: nn.Module) -> Iterator[None]:
    """Add the gradients of a backward pass to those that the weights already have, also where FSDP shards the weights.

    PyTorch adds in place only tensors with the same sharding, and along a dimension of size 1, such as that of a ViT's
    class token, the gradient of a plain sum is not sharded at all.
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
    """Let FSDP reshard what a forward pass left gathered; other models are unchanged."""
    for module in model.modules():
        if hasattr(module, "reshard"):
            module.reshard()


def from_all_processes(tensor: Tensor) -> Tensor:
    """The rows `(n, …)` of all processes, by rank, where n may differ between them; all processes must call this."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return tensor
    processes = torch.distributed.get_world_size()
    sizes = [torch.zeros(1, dtype=torch.long, device=tensor.device) for _ in range(processes)]
    torch.distributed.all_gather(sizes, torch.tensor([len(tensor)], device=tensor.device))
    counts = [int(size) for size in sizes]
    padded = torch.cat([tensor, tensor.new_zeros(max(counts) - len(tensor), *tensor.shape[1:])])
    parts = [torch.empty_like(padded) for _ in counts]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
