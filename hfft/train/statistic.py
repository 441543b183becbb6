"""A statistic of the whole global batch, for any split of it into micro-batches, accumulation and processes.

A batch's covariance or spectrum is not the sum over its parts. Therefore all micro-batches first run forward without
gradients; from the logits and features of all processes, the statistic and its gradient for each row's logits and
features are computed; each micro-batch then uses that gradient in its backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft.strategy.method import Method, Pass

Key = tuple[str, str]  # "logits" or "features", and the name of the part


@dataclass(frozen=True)
class Kept:
    """The gradients of a step's statistics for the outputs of one micro-batch.

    Attributes:
        gradients: (`logits` or `features`, part) -> `(b, …)`.
    """

    gradients: dict[Key, Tensor]

    def surrogate(self, seen: Pass) -> Tensor:
        """A scalar with the same gradient as the statistics."""
        total = next(iter(seen.logits.values())).new_zeros(())
        for (kind, part), gradient in self.gradients.items():
            total = total + (getattr(seen, kind)[part] * gradient).sum()
        return total


def values(methods: Sequence[Method], seen: Pass) -> dict[str, Tensor]:
    """Name -> statistic over the rows of a pass."""
    return {name: value for method in methods for name, value in method.statistic(seen).items()}


def look_ahead(
    methods: Sequence[Method],
    passes: Sequence[Pass],
    gathered: Callable[[Tensor], list[Tensor]],
    rank: int,
    only: str | None = None,
) -> tuple[dict[str, Tensor], list[Kept]]:
    """The statistics of all rows of the global batch, and their gradients for each micro-batch of this process.

    Args:
        passes: the passes of this process's micro-batches.
        gathered: a tensor of this process -> the tensors of all processes, by rank.
        rank: this process's rank.
        only: the name of the only statistic to compute; None for all.
    """
    sizes = [len(seen.labels) for seen in passes]
    keys: list[Key] = [("logits", part) for part in passes[0].logits] + [("features", p) for p in passes[0].features]
    mine: dict[Key, Tensor] = {}
    whole: dict[Key, Tensor] = {}
    for kind, part in keys:
        local = torch.cat([getattr(seen, kind)[part] for seen in passes]).detach()
        everyone = gathered(local)
        mine[kind, part] = local.requires_grad_()
        whole[kind, part] = torch.cat([*everyone[:rank], mine[kind, part], *everyone[rank + 1 :]])
    rows = None
    if passes[0].rows is not None:
        local = torch.from_numpy(np.concatenate([s.rows for s in passes if s.rows is not None])).to(
            passes[0].labels.device
        )
        rows = torch.cat(gathered(local)).cpu().numpy()
    together = replace(
        passes[0],
        logits={part: tensor for (kind, part), tensor in whole.items() if kind == "logits"},
        features={part: tensor for (kind, part), tensor in whole.items() if kind == "features"},
        states={},
        labels=torch.cat(gathered(torch.cat([seen.labels for seen in passes]))),
        rows=rows,
        notes={name: _notes(passes, name, gathered) for name in _noted(methods, passes[0])},
    )
    with torch.enable_grad():
        found = {name: value for name, value in values(methods, together).items() if only in (None, name)}
        if not found:
            return {}, [Kept({}) for _ in passes]
        total = torch.stack([value.to(torch.float64) for value in found.values()]).sum()
        gradients = torch.autograd.grad(total, list(mine.values()), allow_unused=True)
    parts: list[dict[Key, Tensor]] = [{} for _ in passes]
    for key, gradient in zip(mine, gradients, strict=True):
        if gradient is not None:
            for kept, piece in zip(parts, gradient.split(sizes), strict=True):
                kept[key] = piece
    return {name: value.detach() for name, value in found.items()}, [Kept(part) for part in parts]


def _noted(methods: Sequence[Method], seen: Pass) -> list[str]:
    """The methods with a statistic that have noted a value for each row."""
    return [m.name for m in methods if isinstance(seen.notes.get(m.name), Tensor)]


def _notes(passes: Sequence[Pass], name: str, gathered: Callable[[Tensor], list[Tensor]]) -> Tensor:
    """What a method's `batch` hook noted for each row of the global batch, `(N, …)`; filler rows are cut."""
    return torch.cat(gathered(torch.cat([seen.notes[name][: len(seen.labels)] for seen in passes])))


def gather_rows(accelerator: Any) -> Callable[[Tensor], list[Tensor]]:
    """A function that gathers tensors `(n, …)` where n may differ between processes."""

    def gathered(tensor: Tensor) -> list[Tensor]:
        if accelerator.num_processes == 1:
            return [tensor]
        counts = accelerator.gather(torch.tensor([len(tensor)], device=tensor.device)).tolist()
        most = max(counts)
        padded = torch.cat([tensor, tensor.new_zeros(most - len(tensor), *tensor.shape[1:])])
        return [part[:count] for part, count in zip(accelerator.gather(padded).split(most), counts, strict=True)]

    return gathered
