"""A model's outputs for all rows of a set, in their order, computed by all processes together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hfft.data.texts import TextRows, longest_first
from hfft.eval_mode import eval_mode
from hfft.strategy.outputs import logits_of
from hfft.tasks.problem.base import precise
from hfft.train.companions import fetched
from hfft.train.reader import Reader
from hfft.train.statistic import gather_rows

AT_ONCE = 64  # rows; the same however a batch is split, so that outputs are bit-identical


@dataclass(frozen=True)
class Answers:
    """Outputs for a set of rows, in their order.

    Attributes:
        logits: `(N, C)`, float32, on the CPU.
        features: `(N, D)`, the input of the head's last layer; None if not requested.
        labels: `(N, …)`.
    """

    logits: Tensor
    features: Tensor | None
    labels: Tensor


@torch.no_grad()
def answers(trainer: Any, model: nn.Module, rows: Any, features: bool = False, collate: Any = None) -> Answers:
    """The outputs of a model in `eval()`; random state and modes are unchanged afterwards.

    Args:
        collate: makes a batch of rows; None for the trainer's own.
    """
    accelerator = trainer.accelerator
    order = longest_first(rows.lengths) if isinstance(rows, TextRows) else list(range(len(rows)))
    batches = [order[i : i + AT_ONCE] for i in range(0, len(order), AT_ONCE)]
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    # the same number of passes in each process: a sharded model synchronises in each
    mine += batches[:1] * (-(-len(batches) // accelerator.num_processes) - len(mine))
    reader = Reader(model, features)
    found: list[tuple[Tensor, ...]] = []
    with eval_mode(model), reader.on():
        for numbers in mine:
            inputs = trainer._prepare_inputs((collate or trainer.data_collator)(fetched(rows, np.array(numbers))))
            labels = inputs.pop("labels")
            with trainer.compute_loss_context_manager():
                logits = logits_of(model(**inputs)).float()
            seen, _ = reader.take()
            found.append(
                (
                    torch.tensor(numbers, device=logits.device),
                    logits,
                    labels,
                    *(() if seen is None else (seen.float(),)),
                )
            )
    gathered = gather_rows(accelerator)
    width = 4 if features else 3
    columns = [torch.cat(gathered(torch.cat([part[i] for part in found]))).cpu() for i in range(width)]
    placed = [torch.empty(len(rows), *column.shape[1:], dtype=column.dtype) for column in columns[1:]]
    for place, column in zip(placed, columns[1:], strict=True):
        place[columns[0]] = column
    return Answers(placed[0], placed[2] if features else None, placed[1])


def held_logits(trainer: Any, inputs: Mapping[str, Any]) -> Tensor:
    """The logits `(B, C)` of a pass in `eval()`, in the precision of training; with a graph, but outside the step's own pass."""
    model = trainer.model
    with eval_mode(model), trainer.compute_loss_context_manager():
        return precise(logits_of(model(**inputs)))


Of = Callable[[str], Answers]
