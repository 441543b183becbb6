"""The loss of one forward pass: filler rows removed, the task loss over all targets, and the methods that wrap it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft.strategy.loss_chain import LossOfRow, chain
from hfft.strategy.method import At, Batch, Method, Pass
from hfft.strategy.outputs import logits_of
from hfft.tasks.problem import Problem
from hfft.tasks.problem.base import precise
from hfft.train.reader import Reader


def pass_of(outputs: Any, batch: Batch, reader: Reader) -> Pass:
    """The results of a forward pass for the batch's own rows, without filler rows, in at least float32."""
    logits = precise(logits_of(outputs))
    features, states = reader.take()
    size, own = len(batch.labels), batch.own

    def own_rows(tensor: Tensor) -> dict[str, Tensor]:
        return {name: tensor[k * size : k * size + own] for k, name in enumerate(batch.parts)}

    by_depth = {depth: own_rows(state) for depth, state in states.items()}
    return Pass(
        logits=own_rows(logits),
        features={} if features is None else own_rows(precise(features)),
        states={part: {depth: precise(found[part]) for depth, found in by_depth.items()} for part in batch.parts},
        labels=batch.labels[:own],
        rows=None if batch.rows is None else batch.rows[:own],
        notes=batch.notes,
        at=batch.at,
    )


def task_loss(seen: Pass, batch: Batch, loss_of_row: LossOfRow) -> Tensor:
    """The loss summed over a batch's own rows and all targets, each times its factor."""
    sums = []
    for target in batch.targets:
        loss = loss_of_row(seen.logits[target.part], target.labels[: batch.own], seen.at)
        sums.append((loss if target.factor is None else loss * target.factor[: batch.own]).sum())
    return sums[0] if len(sums) == 1 else torch.stack(sums).sum()


def uniform_guess(
    problem: Problem, methods: Sequence[Method], class_ids: np.ndarray | None, outputs: int, at: At
) -> float | None:
    """The mean training loss of all-zero logits, in nats; None if it is meaningless or unknown.

    Args:
        methods: those that wrap or replace the task loss.
        class_ids: class of each training row; None if rows cannot be counted.
    """
    plain = problem.uniform(outputs)
    if plain is None or not methods:
        return plain
    if not problem.classes or class_ids is None:
        return None
    counts = torch.from_numpy(np.bincount(class_ids, minlength=outputs)).float()
    loss_of_row = chain(methods, problem.loss)
    with torch.no_grad():
        losses = loss_of_row(torch.zeros(outputs, outputs), torch.arange(outputs), at)
    return float((losses * counts).sum() / counts.sum())


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Disable autocast: half precision would change a covariance."""
    return torch.autocast(device.type, enabled=False)
