"""The mean of each named term of the loss between two logs, over the steps that were not skipped."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class TermLog:
    """Sums the terms of each step, and adds them to the total unless the step is skipped."""

    def __init__(self) -> None:
        self.step: dict[str, Tensor] = {}  # of the current step
        self.sums: dict[str, Tensor] = {}
        self.names: set[str] = set()  # of all terms so far
        self.taken = self.left_out = 0  # steps since the last log
        self.task_step: Tensor | None = None  # the task loss of the current step
        self.task_sum: Tensor | None = None  # of the steps since the last evaluation
        self.task_steps = 0

    def add(self, name: str, value: Tensor) -> None:
        """Add part of a term in the current step; parts are summed over micro-batches and averaged over processes."""
        value = value.detach()
        self.names.add(name)
        self.step[name] = self.step[name] + value if name in self.step else value

    def add_task(self, value: Tensor) -> None:
        """As `add`, for the task loss, whose mean is kept from one evaluation to the next."""
        value = value.detach()
        self.task_step = value if self.task_step is None else self.task_step + value

    def settle(self, taken: bool) -> None:
        """Call at the end of a step; the terms of a skipped step are discarded."""
        for name, value in self.step.items() if taken else ():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.taken, self.left_out = self.taken + taken, self.left_out + (not taken)
        if taken and self.task_step is not None:
            self.task_sum = self.task_step if self.task_sum is None else self.task_sum + self.task_step
            self.task_steps += 1
        self.step, self.task_step = {}, None

    def means(self, gather: Any) -> dict[str, float]:
        """Name -> mean over the steps since the last call and over the processes; resets the sums."""
        found = {}
        for name, value in self.sums.items():
            found[name] = gather(value.reshape(1).float()).mean().item() / max(self.taken, 1)
        self.sums, self.taken, self.left_out = {}, 0, 0
        return found

    def task_loss(self, gather: Any) -> float | None:
        """The mean task loss of the steps since the last call, over all processes; None if there were none."""
        if self.task_sum is None:
            return None
        mean = gather(self.task_sum.reshape(1)).mean().item() / self.task_steps
        self.task_sum, self.task_steps = None, 0
        return float(mean)

    def state(self) -> dict[str, Any]:
        """The state as values for JSON."""
        return {
            "task": None if self.task_sum is None else [self.task_sum.item(), self.task_steps],
            "sums": {n: v.item() for n, v in self.sums.items()},
            "taken": self.taken,
            "left_out": self.left_out,
            "names": sorted(self.names),
        }

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore what `state` returned."""
        if (task := state.get("task")) is not None:  # checkpoints of older versions have none
            self.task_sum, self.task_steps = torch.tensor(task[0], device=device), task[1]
        self.sums = {name: torch.tensor(value, device=device) for name, value in state["sums"].items()}
        self.taken, self.left_out, self.names = state["taken"], state["left_out"], set(state["names"])
