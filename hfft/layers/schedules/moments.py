"""Say what learns when: from which epoch or step on each depth does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from hfft.errors import ModelError
from hfft.layers.depth import Depths
from hfft.layers.spec import Schedule

_CLOSE = 1e-9  # an epoch is counted in steps: a third of one, three times, must be a whole one


@dataclass(frozen=True)
class Moment:
    """A point of a run, so many epochs or steps from its beginning."""

    epochs: float = 0.0
    steps: int = 0

    def reached(self, epoch: float, step: int) -> bool:
        """Whether a run that has done `epoch` epochs, which are `step` steps, is there."""
        return epoch >= self.epochs - _CLOSE and step >= self.steps

    def __str__(self) -> str:
        return f"step {self.steps}" if self.steps else f"epoch {self.epochs:.4g}" if self.epochs else "start"


def begins(schedule: Schedule, blocks: int) -> dict[int, Moment]:
    """When each depth, 0 … `blocks` + 1, begins to learn.

    `head-then-all` (LP-FT, arXiv:2202.10054): the head (depth `blocks` + 1) at once, all else after the head's phase.
    `gradual` (ULMFiT, arXiv:1801.06146): the head at once, after each stretch the next blocks from the top, the
    embeddings (depth 0) one stretch after the last block. `surgical` changes how fast, not when.
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
    last = -(-blocks // at_a_time)  # the stretch after which the lowest blocks begin
    stretches = {depth: -(-(head - depth) // at_a_time) for depth in range(1, head)} | {head: 0, 0: last + 1}
    return {depth: Moment(n * every, n * steps) for depth, n in stretches.items()}


def check_begins(
    model: nn.Module, depths: Depths, starts: Mapping[int, Moment], epochs: float | None, steps: int | None
) -> None:
    """Make sure that something learns from the first step on, and that what is to learn later does before the end.

    Args:
        epochs, steps: length of the run; None where it is not known yet.

    Raises:
        ModelError: neither.
    """
    learning = {depths.of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not any(starts[depth] == Moment() for depth in learning):
        raise ModelError("layers.schedule: nothing learns from the first step on; let layers.train hold the head")
    for depth in sorted(learning, reverse=True):
        start = starts[depth]
        if (epochs is not None and start.epochs >= epochs) or (steps is not None and start.steps >= steps):
            what = f"block {depth} of {depths.blocks}" if depth else "the embeddings"
            run = f"{steps} steps" if start.steps else f"{epochs:g} epochs"
            raise ModelError(
                f"layers.schedule: {what} would begin at {start} of a run of {run}; let more begin at a time (blocks), "
                f"sooner (every), or name less in layers.train"
            )
