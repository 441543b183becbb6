"""Adapt a finished model to the rows that it is to answer, without their labels: AdaBN, TENT."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hfft.errors import BadInput
from hfft.layers.select import norms
from hfft.predict.predictor import Predictor
from hfft.strategy.regularise.entropy import entropy

FEWEST = 32  # rows of a batch, below which its statistics, and its mean entropy, say little


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The BatchNorms that keep statistics."""
    return [one for one in model.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]


def batches_of(n: int, size: int, seed: int) -> list[np.ndarray]:
    """Places 0 … n - 1 in a drawn order, in batches of nearly equal sizes, `size` at most.

    Rows that are sorted by class would give each batch statistics of its class.
    """
    return np.array_split(np.random.default_rng(seed).permutation(n), -(-n // size))


def few_rows(n: int, size: int) -> str | None:
    """What a user should know of small batches; None if they are large enough."""
    least = n // -(-n // size)
    if least >= FEWEST:
        return None
    return (
        f"batches of {least} rows: fewer than {FEWEST} can make a model worse; give more rows, or a larger --batch-size"
    )


def adabn(predictor: Predictor, inputs: Sequence[Any], size: int = 64, seed: int = 0) -> Predictor:
    """A copy of the model whose BatchNorms have the statistics of these inputs (AdaBN; Li et al. 2016, arXiv:1603.04779).

    Layer by layer from all rows, in one pass: each BatchNorm normalises a batch by the batch's own statistics meanwhile.

    Raises:
        BadInput: it has no BatchNorm with statistics.
    """
    _check(predictor, need_batch_norm=True)
    model = copy.deepcopy(predictor.model).eval()
    for module in batch_norms(model):
        module.reset_running_stats()
        module.momentum = None  # a mean over the batches
        module.train()
    found = replace(predictor, model=model)
    for places in batches_of(len(inputs), size, seed):
        for _ in found.passes([inputs[i] for i in places], len(places)):
            pass
    model.eval()
    return found


def tent(
    predictor: Predictor, inputs: Sequence[Any], size: int = 64, seed: int = 0, learning_rate: float = 1e-3
) -> tuple[Tensor, int]:
    """Logits `(N, C)` of a copy that goes on learning while it answers (TENT; Wang et al. 2021, arXiv:2006.10726).

    Scales and shifts of the norms follow the gradient of the mean entropy of each batch, one step of Adam, and BatchNorms
    take the batch's statistics. A batch is answered before its step, as in the paper, and each row once.

    Returns:
        The logits, and the number of weights that learned.

    Raises:
        BadInput: it has no norm with scales and shifts.
    """
    _check(predictor)
    model = copy.deepcopy(predictor.model).eval().requires_grad_(False)
    learning = [p.requires_grad_() for _, module in norms(model) for p in module.parameters(recurse=False)]
    if not learning:
        raise BadInput("--adapt tent: the model has no normalisation with scales and shifts; use adabn or none")
    optimizer = torch.optim.Adam(learning, lr=learning_rate)
    moved = replace(predictor, model=model)
    found = torch.empty(len(inputs), model.config.num_labels)
    with _batch_statistics(model):
        for places in batches_of(len(inputs), size, seed):
            for mine, batch in moved.batches([inputs[i] for i in places], len(places)):
                logits = moved.outputs(model, batch).float()
                found[torch.from_numpy(places[np.asarray(mine)])] = logits.detach().cpu()
                optimizer.zero_grad()
                entropy(logits).mean().backward()
                optimizer.step()
    return found, sum(p.numel() for p in learning)


@contextlib.contextmanager
def _batch_statistics(model: nn.Module) -> Iterator[None]:
    """A context in which BatchNorms normalise by the batch alone, and keep nothing of it."""
    modules = batch_norms(model)
    kept = [(module.running_mean, module.running_var, module.track_running_stats) for module in modules]
    for module in modules:
        module.running_mean, module.running_var, module.track_running_stats = None, None, False
    try:
        yield
    finally:
        for module, (mean, var, track) in zip(modules, kept, strict=True):
            module.running_mean, module.running_var, module.track_running_stats = mean, var, track


def _check(predictor: Predictor, need_batch_norm: bool = False) -> None:
    if not predictor.problem.classes or predictor.hypotheses or not isinstance(predictor.model, nn.Module):
        raise BadInput("--adapt: is for a model with one class a row and a head of its own; leave it out")
    if need_batch_norm and not batch_norms(predictor.model):
        raise BadInput("--adapt adabn: the model has no BatchNorm, whose statistics it would replace; use tent")
