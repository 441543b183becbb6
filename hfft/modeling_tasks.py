"""The head of several tasks with layers of each task's own. It is never published: each task is saved with its own part."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfft.modeling import OwnHead


class TaskOutputs(nn.Linear):
    """The outputs of several tasks side by side, each from features of its own: `(B, T * C)` to `(B, outputs)`.

    Args:
        starts: the first output of each task.
    """

    def __init__(self, features: int, outputs: int, starts: list[int]):
        super().__init__(features, outputs)
        self.starts = starts

    def forward(self, x: Tensor) -> Tensor:
        """The rows of the weight that belong to a task read the task's features."""
        ends = self.starts[1:]
        each = zip(
            x.chunk(len(self.starts), -1), self.weight.tensor_split(ends), self.bias.tensor_split(ends), strict=True
        )
        return torch.cat([F.linear(*part) for part in each], -1)


class TaskHeads(nn.Module):
    """States to outputs, as `OwnHead`, through pooling and hidden layers of each task's own: `task0`, `task1`, …

    Args:
        tasks: the first output of each task.
        head: what each task's part is, as in `OwnHead`.
    """

    def __init__(self, outputs: int, features: int, tasks: list[int], **head: Any):
        super().__init__()
        self.own = [OwnHead(1, features, **head) for _ in tasks]
        width = self.own[0].out.in_features
        for i, own in enumerate(self.own):
            own.add_module("out", nn.Identity())
            self.add_module(f"task{i}", own)
        self.out = TaskOutputs(width, outputs, tasks)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """`(B, outputs)`."""
        return self.out(torch.cat([own(states, mask) for own in self.own], -1))


def of_one(name: str, task: int) -> str | None:
    """The name that a tensor of such a head has in the `OwnHead` of one task; None if it belongs to another task."""
    first, part, *rest = [*name.split(".", 2), ""]
    if first != "head" or not part.startswith("task"):
        return name
    return f"head.{rest[0]}" if part == f"task{task}" else None
