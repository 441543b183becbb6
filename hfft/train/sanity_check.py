"""Find what went wrong in a finished training: a loss that exploded, a head that never moved."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hfft.layers import Depths

MARGIN = 1.1  # factor on the uniform guess, for noise and smoothing
FEWEST = 20  # steps; shorter trainings have no time to get below a uniform guess


def head_weights(model: nn.Module, depths: Depths) -> dict[str, Tensor]:
    """Copies of the head's trainable parameters."""
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
    """One line for each thing that went wrong; such a model is saved but not published.

    Args:
        history: `trainer.state.log_history`.
        guess: the loss of a uniform guess; None to skip this comparison.
        terms: names of the terms that are logged separately and included in the logged loss.
        before: the head before training, from `head_weights`.
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
            found.append(f"the training loss exploded: from {losses[0]:.3g} via {min(losses):.3g} to {end:.3g}")
    after = dict(model.named_parameters())
    if before and steps and all(torch.equal(after[name].detach().cpu(), tensor) for name, tensor in before.items()):
        found.append("the head never moved: all its weights are the same as before training")
    return found
