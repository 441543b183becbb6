"""What went wrong in a training that came to its end: a loss that exploded, a head that never moved."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hfft.layers import Depths

MARGIN = 1.1  # of the uniform guess: what noise and smoothing may add
FEWEST = 20  # steps; shorter trainings have had no time to get below a uniform guess


def head_weights(model: nn.Module, depths: Depths) -> dict[str, Tensor]:
    """Copies of the head's parameters that learn."""
    learning = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return {name: p.detach().cpu().clone() for name, p in learning if depths.of(name) == depths.head}


def faults(
    history: Sequence[Mapping[str, Any]],
    guess: float | None,
    terms: Collection[str],
    before: Mapping[str, Tensor],
    model: nn.Module,
    steps: int,
) -> list[str]:
    """One line for each thing that went wrong; such a model is kept and not published.

    Args:
        history: `trainer.state.log_history`.
        guess: the loss of a uniform guess; None where that is not to be compared with.
        terms: names of the terms that are logged beside the task loss and counted in it.
        before: the head as it was, from `head_weights`.
        steps: how many steps were trained.
    """
    found = []
    losses = [log["loss"] - sum(log.get(name, 0.0) for name in terms) for log in history if "loss" in log]
    if losses and steps >= FEWEST:
        last = losses[-max(len(losses) // 20, 1) :]
        end = sum(last) / len(last)
        if not math.isfinite(end):
            found.append(f"the training loss ended at {end}")
        elif guess is not None and end > MARGIN * guess:
            found.append(f"the training loss ended at {end:.3g}, above that of a uniform guess ({guess:.3g})")
        elif end > 3 * min(losses) and end > losses[0]:
            found.append(f"the training loss exploded: from {losses[0]:.3g} over {min(losses):.3g} to {end:.3g}")
    after = dict(model.named_parameters())
    if before and steps and all(torch.equal(after[name].detach().cpu(), tensor) for name, tensor in before.items()):
        found.append("the head never moved: every weight of it is what it was before training")
    return found
