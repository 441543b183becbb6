"""A micro-batch before its forward pass, and the results of the pass, as the methods see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.lazy import torch
from hfft.strategy.at import At

if TYPE_CHECKING:
    from torch import Tensor

TASK = "task"  # the part of a batch with the rows drawn for the step


@dataclass(frozen=True)
class Companion:
    """Rows to read in addition to those of a batch.

    Attributes:
        rows: `(B,)` row numbers.
        of: the set of `data.sets` that the rows belong to; None for the training rows.
        draw: number of the row's augmentation: 0 is the one used in training.
        augment: further operations, as in `data.augment`: the row is augmented as in training, and then by these in this draw.
    """

    rows: np.ndarray
    of: str | None = None
    draw: int = 0
    augment: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Target:
    """Labels for the loss of one part, with each row's loss multiplied by its factor."""

    labels: Tensor
    factor: Tensor | None = None
    part: str = TASK


@dataclass
class Batch:
    """A micro-batch before the forward pass; one pass runs all of its parts.

    Attributes:
        inputs: name -> `(K * B, …)`, the K parts concatenated; row i of each part belongs to row i of the task.
        parts: names of the parts, `task` first.
        labels: labels of the task's rows `(B, …)`.
        targets: the task loss is the sum over these.
        rows: `(B,)` row numbers; None if no method needs them.
        own: number of task rows that count, from the first on; the rest pads an epoch's last batch.
        notes: values that the hooks of a method pass to each other, by method name.
        logits: inputs of a part -> its logits `(B, C)`, by a pass of the model in `eval()`, as it is before the step.
    """

    inputs: dict[str, Any]
    parts: list[str]
    labels: Tensor
    targets: list[Target]
    rows: np.ndarray | None
    own: int
    at: At
    part_labels: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    logits: Callable[[Mapping[str, Any]], Tensor] | None = None

    def part(self, name: str) -> dict[str, Any]:
        """The inputs of one part."""
        size, k = len(self.labels), self.parts.index(name)
        return {key: value[k * size : (k + 1) * size] for key, value in self.inputs.items()}

    def all_labels(self) -> Tensor:
        """The labels of the rows of all parts `(K * B, …)`: a copy of the task's rows has theirs."""
        if len(self.parts) == 1:
            return self.labels
        others = [self.part_labels.get(name, self.labels) for name in self.parts[1:]]
        return torch.cat([self.labels, *others])

    def put(self, name: str, inputs: Mapping[str, Any] | None = None) -> None:
        """Add a part with these inputs, or with the task's inputs again."""
        given = self.part(TASK) if inputs is None else inputs
        self.inputs = {key: _joined(value, given[key]) for key, value in self.inputs.items()}
        self.parts.append(name)

    def take(self, name: str) -> dict[str, Any]:
        """Remove a part, so that it is not run, and return its inputs."""
        taken, size, k = self.part(name), len(self.labels), self.parts.index(name)
        self.inputs = {key: _joined(value[: k * size], value[(k + 1) * size :]) for key, value in self.inputs.items()}
        self.parts.remove(name)
        return taken

    def replace(self, name: str, inputs: Mapping[str, Any]) -> None:
        """Give a part other inputs; those not named are unchanged."""
        size, k = len(self.labels), self.parts.index(name)
        for key, value in inputs.items():
            whole = self.inputs[key]
            self.inputs[key] = _joined(_joined(whole[: k * size], value), whole[(k + 1) * size :])


def _joined(left: Any, right: Any) -> Any:
    if isinstance(left, np.ndarray):
        return np.concatenate([left, right])
    return torch.cat([left, right])


@dataclass
class Pass:
    """The results of a forward pass: only the process's own rows, at least in float32, outside autocast.

    Attributes:
        logits: part -> `(b, C)`.
        features: part -> `(b, D)`, the inputs of the head's last layer; only if a method needs them.
        states: part -> depth -> the output of the block at that depth; only if a method needs them.
        labels: `(b, …)` labels of the task's rows.
        rows: `(b,)` row numbers, if a method needs them.
    """

    logits: dict[str, Tensor]
    features: dict[str, Tensor]
    states: dict[str, dict[int, Tensor]]
    labels: Tensor
    rows: np.ndarray | None
    notes: dict[str, Any]
    at: At
