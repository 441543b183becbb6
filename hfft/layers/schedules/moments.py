"""When each depth starts to learn: the epoch or step from which it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from hfft.errors import ModelError
from hfft.layers.depth import Depths
from hfft.layers.spec import Schedule

_CLOSE = 1e-9  # epochs are counted in steps: three times a third must make a whole one


@dataclass(frozen=True)
class Moment:
    """A point in a run, as a number of epochs or steps from the start."""

    epochs: float = 0.0
    steps: int = 0

    def reached(self, epoch: float, step: int) -> bool:
        """Whether a run that has done `epoch` epochs, equal to `step` steps, has reached this point."""
        return epoch >= self.epochs - _CLOSE and step >= self.steps

    def __str__(self) -> str:
        return f"step {self.steps}" if self.steps else f"epoch {self.epochs:.4g}" if self.epochs else "start"


def begins(schedule: Schedule, blocks: int) -> dict[int, Moment]:
    """When each depth, 0 … `blocks` + 1, starts to learn.

    `head-then-all` (LP-FT, arXiv:2202.10054): the head (depth `blocks` + 1) at once, everything else after the head's phase.
    `gradual` (ULMFiT, arXiv:1801.06146): the head at once, the next blocks from the top after each interval, the
    embeddings (depth 0) one interval after the last block. `surgical` changes how fast, not when.
    """
    head = blocks + 1
    if schedule.type == "surgical":
        return dict.fromkeys(range(head + 1), Moment())
    if schedule.type == "head-then-all":
        steps = schedule.head_steps or 0
        later = Moment(0.0 if steps else schedule.head_epochs or 1.0, steps)
        return {**dict.fromkeys(range(head), later), head: Moment()}
    at_a_time, steps = schedule.blocks or 1, schedule.every_steps or 0
    every = 0.0 if steps else schedule.every or 1.0
    last = -(-blocks // at_a_time)  # the interval after which the lowest blocks start
    stretches = {depth: -(-(head - depth) // at_a_time) for depth in range(1, head)} | {head: 0, 0: last + 1}
    return {depth: Moment(n * every, n * steps) for depth, n in stretches.items()}


def check_begins(
    model: nn.Module, depths: Depths, starts: Mapping[int, Moment], epochs: float | None, steps: int | None
) -> None:
    """Make sure that something learns from the first step on, and that every layer due to learn starts before the run ends.

    Args:
        epochs, steps: length of the run; None if it is not known yet.

    Raises:
        ModelError: either is not the case.
    """
    learning = {depths.of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not any(starts[depth] == Moment() for depth in learning):
        raise ModelError("layers.schedule: nothing learns from the first step on; include the head in layers.train")
    for depth in sorted(learning, reverse=True):
        start = starts[depth]
        if (epochs is not None and start.epochs >= epochs) or (steps is not None and start.steps >= steps):
            what = f"block {depth} of {depths.blocks}" if depth else "the embeddings"
            run = f"{steps} steps" if start.steps else f"{epochs:g} epochs"
            raise ModelError(
                f"layers.schedule: {what} would start at {start} of a run of {run}; start more at a time (blocks), "
                f"start sooner (every), or list fewer layers in layers.train"
            )
