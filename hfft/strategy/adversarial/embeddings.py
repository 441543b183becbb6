"""Perturbations of a text's input embeddings, without those of padding."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Setting
from hfft.strategy.tensors import whole

if TYPE_CHECKING:
    from torch import Tensor, nn


class Embeddings:
    """A model's input embedding, and changes of what it returns.

    Args:
        setting: of the run.
        name: of the method, for messages.

    Raises:
        BadInput: the model has no table of embeddings.
    """

    def __init__(self, setting: Setting, name: str):
        self.table: Any = setting.model.get_input_embeddings()  # type: ignore[operator]
        self.name = name
        weight = getattr(self.table, "weight", None)
        if weight is None or weight.ndim != 2:
            raise BadInput(f"strategy.{name}: the model has no table of input embeddings to perturb; leave {name} out")
        self.dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32

    def usual_radius(self) -> float:
        """`usual_radius` of the table."""
        return usual_radius(self.table)

    def zeros(self, batch: Batch) -> Tensor:
        """No change of the task's embeddings, `(B, L, D)`."""
        tokens = batch.part(TASK)["input_ids"]
        return torch.zeros(*tokens.shape, self.table.weight.shape[1], dtype=self.dtype, device=tokens.device)

    def real(self, batch: Batch) -> Tensor:
        """`(B, L, 1)`: 1 for tokens, 0 for padding."""
        part = batch.part(TASK)
        mask = part.get("attention_mask")
        found = torch.ones_like(part["input_ids"]) if mask is None or mask.ndim != 2 else mask
        return found.to(self.dtype)[..., None]

    @contextlib.contextmanager
    def shifted(self, change: Tensor, part: int = 0) -> Iterator[None]:
        """Inside, `change` `(B, L, D)` is added to the embeddings of one part of the batch.

        Raises:
            BadInput: the model did not read its input embedding.
        """
        with added(self.table, change, part) as calls:
            yield
        if not calls:
            raise BadInput(
                f"strategy.{self.name}: the model does not read its input embedding as a module; leave {self.name} out"
            )


def usual_radius(table: Any) -> float:
    """A tenth of the mean length of a token's embedding, which differs between models: all processes must call this.

    At 0.28 of that length, MiniLM gave all rows of SST-2 one class; at a tenth it learned as well as without (one seed).
    """
    return 0.1 * float(whole(table.weight.detach()).float().norm(dim=1).mean())


@contextlib.contextmanager
def added(table: nn.Module, change: Tensor, part: int = 0) -> Iterator[list[Any]]:
    """Inside, `change` `(B, L, D)` is added to rows `part * B` to `(part + 1) * B` of what an embedding returns.

    Yields:
        a list with an entry for each time that the embedding was read.
    """
    first, last = part * len(change), (part + 1) * len(change)
    calls: list[Any] = []

    def add(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        calls.append(output.shape)
        moved = output[first:last] + change.to(output.dtype)
        return moved if len(output) == len(change) else torch.cat([output[:first], moved, output[last:]])

    handle = table.register_forward_hook(add)
    try:
        yield calls
    finally:
        handle.remove()
