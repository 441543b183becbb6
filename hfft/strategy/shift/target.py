"""Rows of another set beside the task's: what every method of this family reads, and never their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import Companion, Method, MethodSpec, Setting
from hfft.strategy.random_numbers import rows_in_turn
from hfft.strategy.weight import Weight, WeightSpec

if TYPE_CHECKING:
    from torch import Tensor

SCORED = ("single_label_classification", "multi_label_classification", "regression")  # one vector of features per row


class TargetSpec(MethodSpec):
    """The options of every method that reads rows of another set.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the term.
    """

    main = "on"
    on: str
    ratio: int = Field(default=1, ge=1)
    weight: WeightSpec = 1.0


class TargetRows(Method):
    """Reads `ratio` rows of the set for each row of the task: all of them in turn, over all epochs.

    Methods on the same set share its rows, so that two of them cost no more than one.
    """

    reads_as_prepared = True

    def __init__(self, spec: TargetSpec, default: float = 1.0):
        self.spec, self.weight = spec, Weight(spec.weight, default=default)
        self.passes = 1 + spec.ratio
        self.parts = part_names(spec.on, spec.ratio)

    def start(self, setting: Setting) -> None:
        """Remember the number of rows of the set and of the task."""
        self.size, self.rows = setting.sets[self.spec.on], setting.rows

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """The rows of the set, `ratio` parts of as many as the batch has."""
        on, ratio = self.spec.on, self.spec.ratio
        return {
            part: Companion(rows_in_turn(rows, self.size, epoch, seed, self.rows, copy, ratio), of=on)
            for copy, part in enumerate(self.parts)
        }

    def target(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Logits or features of the set's rows, `(ratio * b, …)`, one part after another."""
        return torch.cat([parts[part] for part in self.parts]) if len(self.parts) > 1 else parts[self.parts[0]]

    def row_means(self, values: Tensor) -> Tensor:
        """Values of the set's rows `(ratio * b,)`, in the order of `target` -> their means for each row of the task `(b,)`."""
        return values.view(len(self.parts), -1).mean(0)


def part_names(on: str, ratio: int) -> tuple[str, ...]:
    """The names of a set's parts in a batch: the first one has the set's own."""
    return (on, *(f"{on}#{copy}" for copy in range(2, ratio + 1)))
