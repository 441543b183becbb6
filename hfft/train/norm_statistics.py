"""Statistics of BatchNorms, estimated on all training rows for weights that no training step had, such as an average."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hfft import layers
from hfft.data.texts import TextRows, longest_first
from hfft.eval_mode import eval_mode
from hfft.train.answers import AT_ONCE
from hfft.train.companions import fetched

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def norms(model: nn.Module) -> dict[str, nn.Module]:
    """Path -> BatchNorm that keeps statistics."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


def moving_norms(trainer: Any, model: nn.Module) -> list[nn.Module]:
    """The BatchNorms whose statistics training updates."""
    found = list(norms(model).values())
    held = layers.frozen_modules(model) if found and not trainer.live_norms else []
    inside = {id(inner) for module in held for inner in module.modules()}
    return [module for module in found if id(module) not in inside]


@contextlib.contextmanager
def estimated(trainer: Any, chosen: Sequence[nn.Module], model: nn.Module) -> Iterator[None]:
    """A context in which these BatchNorms of a model have the statistics of all training rows, at its current weights."""
    before = [(module, name, getattr(module, name).clone()) for module in chosen for name in BUFFERS]
    estimate(trainer, chosen, model)
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, value in before:
                getattr(module, name).copy_(value)


@torch.no_grad()
def estimate(trainer: Any, chosen: Sequence[nn.Module], model: nn.Module) -> None:
    """Set the statistics of BatchNorms to the mean and variance of their inputs over all training rows.

    Each of them normalises a batch of up to 64 rows by the batch's own statistics meanwhile, as in training; everything
    else, such as dropout, is in `eval()`. The batches are the same for any number of processes.
    """
    if not chosen:
        return
    accelerator, rows = trainer.accelerator, trainer.train_dataset
    order = longest_first(rows.lengths) if isinstance(rows, TextRows) else list(range(len(rows)))
    batches = np.array_split(np.array(order), -(-len(order) // AT_ONCE))
    turns = -(-len(batches) // accelerator.num_processes)  # FSDP needs the same number of passes in each process
    own = batches[accelerator.process_index :: accelerator.num_processes]
    with eval_mode(model), measuring(chosen) as sums:
        for turn in range(turns):
            numbers = own[turn] if turn < len(own) else batches[0]
            inputs = trainer._prepare_inputs(trainer.data_collator(fetched(rows, numbers)))
            inputs.pop("labels")
            for found in sums:
                found.counts = turn < len(own)
            with trainer.compute_loss_context_manager():
                model(**inputs)
    for found in sums:
        found.write(accelerator)


@contextlib.contextmanager
def measuring(chosen: Sequence[nn.Module]) -> Iterator[list[Sums]]:
    """A context in which BatchNorms use the statistics of each batch, and sum up their inputs; `Sums.write` then sets them."""
    sums = [Sums(module) for module in chosen]
    with contextlib.ExitStack() as stack:
        for found in sums:
            stack.enter_context(found.collecting())
        yield sums


class Sums:
    """Sums of the inputs of one BatchNorm."""

    def __init__(self, norm: Any):
        self.norm, self.counts = norm, True
        self.total: Tensor = torch.zeros(3, norm.num_features, dtype=torch.float64)  # of 1, x and x²

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """A context in which the BatchNorm uses the statistics of each batch, and its inputs are summed."""
        tracked = self.norm.num_batches_tracked.clone()
        handle = self.norm.register_forward_pre_hook(lambda _, inputs: self._add(inputs[0]))
        self.norm.training = True
        try:
            yield
        finally:
            handle.remove()
            self.norm.num_batches_tracked.copy_(tracked)

    def _add(self, x: Tensor) -> None:
        if self.counts:
            var, mean = torch.var_mean(x.float(), [d for d in range(x.ndim) if d != 1], correction=0)
            var, mean, count = var.cpu().double(), mean.cpu().double(), x.numel() // x.shape[1]
            self.total += count * torch.stack([torch.ones_like(mean), mean, var + mean**2])

    @torch.no_grad()
    def write(self, accelerator: Any = None) -> None:
        """Set the statistics from the sums, of all processes if there are several."""
        total = self.total
        if accelerator is not None and accelerator.num_processes > 1:
            total = accelerator.reduce(total.to(accelerator.device), "sum").cpu()
        count, mean = total[0], total[1] / total[0]
        var = (total[2] / count - mean**2) * count / (count - 1).clamp(min=1)  # unbiased, as PyTorch keeps it
        self.norm.running_mean.copy_(mean)
        self.norm.running_var.copy_(var.clamp(min=0))
