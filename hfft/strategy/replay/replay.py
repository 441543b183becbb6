"""Learn the rows of a memory again beside new ones (experience replay; Chaudhry et al. 2019, arXiv:1902.10486)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import Batch, Companion, Method, MethodSpec, Setting, Target
from hfft.strategy.random_numbers import rows_in_turn


class Replay(MethodSpec):
    """Learn as many labelled rows of a memory in each step as of the task.

    Attributes:
        on: the name of the set in `data.sets`, whose labels are `given`.
        weight: factor of their loss; the paper uses 1.
    """

    main = "on"
    on: str
    weight: float = Field(default=1.0, ge=0)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return Remembered(self) if self.weight else None


class Remembered(Method):
    """Adds the task loss of one row of the memory for each row of the task."""

    problems = ("single_label_classification",)
    needs = frozenset({"labelled_set"})
    passes = 2  # the memory's rows are as many

    def __init__(self, spec: Replay):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Remember the number of rows in the memory."""
        self.size = setting.sets[self.spec.on]

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """One row of the memory for each row of the task, all of them in turn, in an order drawn for the epoch."""
        return {self.spec.on: Companion(rows_in_turn(rows, self.size, epoch, seed), of=self.spec.on)}

    def batch(self, batch: Batch) -> None:
        """Let their labels count."""
        batch.targets.append(replayed(batch, self.spec.on, self.spec.weight))


def replayed(batch: Batch, part: str, weight: float) -> Target:
    """The target by which the labels of a part count, each row with this factor."""
    labels = batch.part_labels[part]
    return Target(labels, torch.full((len(labels),), weight, device=labels.device), part)
