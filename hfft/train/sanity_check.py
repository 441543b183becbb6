"""Find what went wrong in a finished training: a loss that exploded, a head that never moved."""

from __future__ import annotations

import math
import statistics
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
    logs = [log for log in history if "loss" in log]
    losses = [log["loss"] - sum(log.get(name, 0.0) for name in terms) for log in logs]
    if losses and steps >= FEWEST:
        end, least = _end(losses, [log.get("epoch") for log in logs])
        if not math.isfinite(end):
            found.append(f"the training loss ended at {end}")
        elif guess is not None and least > MARGIN * guess:
            found.append(f"the training loss ended at {end:.3g}, above that of a uniform guess ({guess:.3g})")
        elif least > 3 * min(losses) and least > losses[0]:
            found.append(f"the training loss exploded: from {losses[0]:.3g} via {min(losses):.3g} to {end:.3g}")
    after = dict(model.named_parameters())
    if before and steps and all(torch.equal(after[name].detach().cpu(), tensor) for name, tensor in before.items()):
        found.append("the head never moved: all its weights are the same as before training")
    return found


def _end(losses: Sequence[float], epochs: Sequence[float | None]) -> tuple[float, float]:
    """The mean of the last half epoch's losses, and its lower bound: two standard errors below, but not under all of them.

    A log may cover a single small batch, whose loss depends on its rows more than on the model, above all with class weights.
    Of two or three losses the standard error says little.
    """
    last = epochs[-1]
    recent = sum(last is not None and epoch is not None and epoch > last - 0.5 for epoch in epochs)
    window = losses[-max(len(losses) // 20, recent, 1) :]
    mean = statistics.fmean(window)
    if len(window) == 1 or not math.isfinite(mean):
        return mean, mean
    return mean, max(mean - 2 * statistics.stdev(window) / math.sqrt(len(window)), min(window))
