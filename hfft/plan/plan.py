"""Estimates before training: the memory and time that a run will need on this machine, and how alternatives would change them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from hfft.console import quiet_libraries
from hfft.errors import BadInput
from hfft.pipeline.build import Run, build_run
from hfft.pipeline.record import methods_of
from hfft.plan.breakdown import breakdown
from hfft.plan.measure import Measured, measure
from hfft.recipe import Recipe
from hfft.recipe.alternatives import choices, without_cache
from hfft.train import training_arguments
from hfft.train.arguments import DEFAULTS
from hfft.train.callbacks import EpochLine
from hfft.wording import first_line

QUIET: dict[str, Any] = {
    "save_strategy": "no",
    "eval_strategy": "no",
    "report_to": "none",
    "load_best_model_at_end": False,
}
HEAD = f"{'choice':<34} {'learn':>11} {'weights':>8} {'grads':>8} {'optim':>8} {'activ.':>8} {'MiB':>8} {'step s':>8} "
HEAD += f"{'epoch s':>8} {'eval s':>7} {'prefix':>7} {'kept MiB':>9} {'later s':>8}"


def plan(recipe: Recipe) -> Iterator[str]:
    """The plan of a recipe, line by line: the recipe and its alternatives, each from at least three measured steps.

    Raises:
        BadInput: the data, the model or the recipe cannot be used.
    """
    quiet_libraries()
    run, found = measured(recipe)
    device = "cpu, " + count(torch.get_num_threads(), "thread") if run.trainer.args.device.type == "cpu" else ""
    device = device or torch.cuda.get_device_name(run.trainer.args.device)
    args = run.trainer.args
    steps = f"{found.steps:,} steps" if found.steps is not None else "an unknown number of steps"
    yield (
        f"{recipe.name} on {device}: {run.splits.sizes['train'] or '?'} training rows, batches of "
        f"{args.train_batch_size} × {args.gradient_accumulation_steps}, {steps} an epoch"
    )
    yield HEAD
    yield line("as the recipe says", found)
    costs = methods_line(methods_of(run))
    blocks, total = run.trainer.depths.blocks, seconds(recipe.training, found)
    del run
    for name, other in choices(recipe, blocks, args.bf16, torch.cuda.is_available()):
        try:
            yield line(name, measured(other)[1])
        except (BadInput, torch.OutOfMemoryError) as error:
            yield f"{name:<34} not possible: {first_line(error)}"
    yield ""
    yield "MiB: the sum of weights, gradients, optimiser states, what the methods of the strategy hold, and what a micro-batch"
    yield "of the longest rows saves for backward."
    yield "prefix: the share of a step before the first parameter that learns; kept MiB: its outputs for all rows;"
    yield "later s: an epoch that reads these instead of computing them."
    if costs:
        yield costs
    if found.peak is not None:
        yield f"peak of memory allocated on the GPU while measuring the recipe: {mib(found.peak)} MiB"
    if found.reading > 0.3:
        yield (
            f"reading takes {found.reading:.0%} of a step; raise training.dataloader_num_workers "
            f"(it is {recipe.training.get('dataloader_num_workers', 0)}, this machine has {os.cpu_count()} cores)"
        )
    if total is not None:
        yield f"the whole run: about {clock(total)}"


def methods_line(methods: Sequence[dict[str, Any]]) -> str:
    """What each method costs, in one line; empty without methods."""
    costs = [
        f"{method['name']} {method['passes']} pass{'es' if method['passes'] > 1 else ''} a step, {mib(method['bytes'])} MiB"
        for method in methods
    ]
    return f"strategy: {'; '.join(costs)}" if costs else ""


def measured(recipe: Recipe) -> tuple[Run, Measured]:
    """Build a recipe's run and measure its cost. The frozen cache is off, because the share that it saves is measured."""
    recipe = without_fit(recipe)
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(without_cache(recipe), output_dir=folder, **QUIET)
        run = build_run(without_cache(recipe), arguments)
        run.trainer.remove_callback(EpochLine)
        return run, measure(run.trainer, run.splits.sizes["train"])


def without_fit(recipe: Recipe) -> Recipe:
    """The recipe with a random head: fitting one reads all training rows, and changes no cost of a step."""
    if not recipe.head.fitted:
        return recipe
    return recipe.model_copy(update={"head": recipe.head.model_copy(update={"init": "default"})})


def profile(recipe: Recipe) -> Iterator[str]:
    """Where the time of one training step of a recipe goes."""
    recipe = without_fit(recipe)
    with tempfile.TemporaryDirectory() as folder:
        run = build_run(recipe, training_arguments(recipe, output_dir=folder, **QUIET))
        run.trainer.remove_callback(EpochLine)
        yield ""
        yield from breakdown(run.trainer)


def seconds(given: dict[str, Any], found: Measured) -> float | None:
    """Seconds of the whole run; if its length is in epochs, evaluations are included."""
    training = {**DEFAULTS, **given}
    if training.get("max_steps", -1) > 0:
        return training["max_steps"] * found.step
    if found.epoch is None:
        return None
    each = (found.evaluation or 0.0) if training["eval_strategy"] == "epoch" else 0.0
    return training.get("num_train_epochs", 3) * (found.epoch + each)


def line(name: str, found: Measured) -> str:
    """One row of the table."""
    share = f"{found.learning / found.parameters:.2%}"
    held = [found.weights, found.gradients, found.optimizer, found.activations, found.memory]
    cells = [f"{share:>11}", *(f"{mib(value):>8}" for value in held), f"{found.step:>8.3f}"]
    cells += [f"{short(found.epoch):>8}", f"{short(found.evaluation):>7}", f"{found.prefix:>7.0%}"]
    if found.state:
        cells += [f"{mib(found.state):>9}", f"{short(found.later_epoch):>8}"]
    return f"{name:<34} {' '.join(cells)}".rstrip()


def mib(count: int) -> str:
    """Bytes as MiB."""
    return f"{count / 2**20:,.1f}"


def short(value: float | None) -> str:
    """Seconds, or a dash if None."""
    return "–" if value is None else f"{value:,.1f}"


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def clock(value: float) -> str:
    """A duration in a convenient unit."""
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
