"""The cost of a few real training steps: seconds by part, and bytes by purpose."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from transformers import Trainer, TrainerCallback, TrainingArguments

from hfft.data.stream import Stream
from hfft.strategy.describe import held_bytes
from hfft.train import FineTuner

STEPS, SECONDS, MOST = 3, 1.0, 24  # at least this many steps and seconds, and at most this many steps


@dataclass(frozen=True)
class Measured:
    """The cost of a training run, from a few of its steps. Bytes are those of one process, seconds those of a full epoch.

    Attributes:
        weights: bytes of parameters and buffers.
        gradients: bytes for every parameter that learns.
        optimizer: bytes of the optimiser's states after a step.
        methods: bytes that the methods of the strategy hold.
        activations: bytes saved for the backward pass by one micro-batch of the longest rows.
        steps: optimiser steps of an epoch; None for a stream of unknown length.
        step: seconds of one step, data included; `epoch` is for all steps.
        reading: fraction of `step` in which rows were read, decoded and batched (without workers).
        prefix: fraction of `step` before the first parameter that learns, in the forward pass.
        state: bytes of that prefix's outputs for all rows, in the run's precision; None for a stream, or if nothing
            before the first parameter that learns is frozen.
        evaluation: seconds for all validation rows; None without any.
        peak: peak of bytes allocated on the GPU; None on other devices.
    """

    parameters: int
    learning: int
    weights: int
    gradients: int
    optimizer: int
    methods: int
    activations: int
    steps: int | None
    step: float
    reading: float
    prefix: float
    state: int | None
    evaluation: float | None
    peak: int | None

    @property
    def memory(self) -> int:
        """Bytes of weights, gradients, optimiser states, methods and activations."""
        return self.weights + self.gradients + self.optimizer + self.methods + self.activations

    @property
    def epoch(self) -> float | None:
        """Seconds of an epoch, without evaluation."""
        return None if self.steps is None else self.steps * self.step

    @property
    def later_epoch(self) -> float | None:
        """Seconds of an epoch that reads the prefix's outputs instead of computing them, and so decodes no rows."""
        return None if self.steps is None else self.steps * self.step * (1 - self.prefix - self.reading)


def measure(trainer: FineTuner, rows: int | None = None) -> Measured:
    """Train for a few steps, on batches drawn from the whole epoch, and estimate the cost of an epoch.

    The first step is a warm-up on the longest rows; at least three more are timed. The model is trained by this.

    Args:
        rows: number of training rows, if they are a stream.

    Raises:
        torch.OutOfMemoryError: the longest rows do not fit.
    """
    args = trainer.args
    batches = epoch_batches(trainer)
    lengths = text_lengths(trainer.train_dataset)
    accumulated = args.gradient_accumulation_steps
    sizes = None
    if batches is not None:
        sizes = np.array([batch_size(batch, lengths) for batch in batches])
        drawn = pick(sizes, accumulated)
        with trainer.accompanied(trainer.train_dataset) as accompanied:  # with the rows that methods read beside them
            chosen = [batches[i] for i in drawn]
            loader = DataLoader(accompanied, batch_sampler=chosen, collate_fn=trainer.data_collator)
        trainer.get_train_dataloader = lambda: loader
        steps = math.ceil(len(batches) / accumulated)
    else:
        steps = None if rows is None else math.ceil(rows / (args.train_batch_size * accumulated))
    args.max_steps = MOST + 1
    read_by_itself(args)
    clock = Clock(trainer)
    trainer.add_callback(clock)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with clock.watching(trainer.model):
        trainer.train()
    trainer.remove_callback(clock)
    if sizes is None:
        step = median(map(sum, clock.steps))
    else:  # by the number of padded tokens or images in it
        step = step_seconds(clock.steps, sizes[drawn].reshape(-1, accumulated).sum(1), sizes.sum() / steps)
    total = sum(map(sum, clock.steps))
    model = trainer.model
    learning = [p for p in model.parameters() if p.requires_grad]
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    known = len(lengths) if lengths is not None else rows if batches is None else sum(map(len, batches))
    tokens = None if lengths is None else int(lengths.sum())
    return Measured(
        parameters=sum(p.numel() for p in model.parameters()),
        learning=sum(p.numel() for p in learning),
        weights=size_of([*model.parameters(), *model.buffers()]),
        gradients=size_of(learning),
        optimizer=optimizer_bytes(trainer.optimizer),
        methods=held_bytes(trainer.methods, model),
        activations=clock.activations,
        steps=steps,
        step=float(step),
        reading=sum(reading for reading, _ in clock.steps) / total,
        prefix=sum(clock.prefixes) / total,
        state=clock.state_bytes(known, tokens),
        evaluation=evaluation_seconds(trainer),
        peak=peak,
    )


def epoch_batches(trainer: Trainer) -> list[list[int]] | None:
    """The row numbers of each batch of an epoch, from the trainer's own sampler; None for a stream."""
    sampler = getattr(trainer.get_train_dataloader(), "batch_sampler", None)
    if sampler is None or isinstance(trainer.train_dataset, Stream):
        return None
    return [list(batch) for batch in sampler]


def step_seconds(timed: Sequence[Sequence[float]], sizes: Sequence[float], size: float) -> float:
    """Seconds of a step of this size, in proportion to a few steps that were timed.

    Args:
        timed: the seconds of each part of each timed step.
        sizes: of the steps that ran; the first one, a warm-up, is not among the timed ones.
    """
    given = sizes[1 : 1 + len(timed)]
    return median(sum(parts) / of for parts, of in zip(timed, given, strict=True)) * size


def text_lengths(rows: Any) -> np.ndarray | None:
    """Tokens of each row, if rows are texts that report their own length, or are in a table."""
    if getattr(rows, "lengths", None) is not None:
        return np.asarray(rows.lengths)
    if not isinstance(rows, datasets.Dataset) or "input_ids" not in rows.column_names:
        return None
    import pyarrow.compute as pc

    return pc.list_value_length(rows.select_columns(["input_ids"]).with_format("arrow")[:]["input_ids"]).to_numpy()


def batch_size(batch: Sequence[int], lengths: np.ndarray | None) -> int:
    """The amount of computation in a batch: its rows, or its tokens including padding."""
    return len(batch) * (1 if lengths is None else int(lengths[list(batch)].max()))


def pick(sizes: np.ndarray, accumulated: int) -> np.ndarray:
    """Numbers of the batches to measure: the largest first, then others from the whole epoch in shuffled order."""
    count = accumulated * MOST
    over = np.linspace(0, len(sizes) - 1, count).round().astype(int)
    over = np.random.default_rng(0).permutation(over)
    return np.concatenate([np.full(accumulated, sizes.argmax()), over])


def size_of(tensors: Sequence[Tensor]) -> int:
    """Total bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def optimizer_bytes(optimizer: Any) -> int:
    """Total bytes of an optimiser's states."""
    states = getattr(optimizer, "optimizer", optimizer).state.values()
    return size_of([value for state in states for value in state.values() if isinstance(value, Tensor)])


def evaluation_seconds(trainer: Trainer) -> float | None:
    """Seconds for all validation rows, from a few batches spread evenly over them."""
    held_out = trainer.eval_dataset
    if held_out is None or isinstance(held_out, Stream):
        return None
    count = min(len(held_out), STEPS * trainer.args.eval_batch_size)
    chosen = np.linspace(0, len(held_out) - 1, count).round().astype(int).tolist()
    few = held_out.select(chosen) if hasattr(held_out, "select") else Subset(held_out, chosen)
    started = time.perf_counter()
    trainer.evaluate(few)
    return (time.perf_counter() - started) * len(held_out) / count


def read_by_itself(arguments: TrainingArguments) -> None:
    """Make the training process read its rows itself, so that reading is measured."""
    arguments.dataloader_num_workers, arguments.dataloader_prefetch_factor = 0, None


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Clock(TrainerCallback):
    """Times the parts of each step except the first, in which it counts the bytes saved for the backward pass."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        self.steps: list[tuple[float, float]] = []  # seconds of reading, and of the rest
        self.prefixes: list[float] = []
        self.activations = 0
        self.state: tuple[Tensor, int, int] | None = None  # the tensor at the cut, and its number of rows and positions
        self.ended = self.begun = self.forward = 0.0
        self.warm = self.frozen = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock; the time since the last step was spent reading."""
        synchronise()
        self.begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop the clock, and stop training once there are enough measurements."""
        synchronise()
        now = time.perf_counter()
        if self.warm:
            self.steps.append((self.begun - self.ended, now - self.begun))
        self.warm, self.ended = True, now
        enough = len(self.steps) >= STEPS and sum(map(sum, self.steps)) >= SECONDS
        if enough or len(self.steps) == MOST:
            control.should_training_stop = True

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """While a model trains, observe when each forward pass reaches the first parameter that learns, and what is saved."""
        whole = self.trainer.compute_loss
        handles = []
        for module in model.modules():
            own = [p.requires_grad for p in module.parameters(recurse=False)]
            if own:
                handles.append(module.register_forward_pre_hook(self._reached if any(own) else self._passed))

        def compute_loss(model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if not model.training:
                return whole(model, inputs, *args, **kwargs)
            ids = inputs.get("input_ids")
            self._rows = (len(inputs["labels"]), 1) if ids is None else tuple(ids.shape[:2])
            synchronise()
            self.forward = time.perf_counter()
            if self.warm:
                return whole(model, inputs, *args, **kwargs)
            kept: dict[int, int] = {}
            stored = {p.untyped_storage().data_ptr() for p in model.parameters()}

            def pack(tensor: Tensor) -> Tensor:
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in stored:
                    kept[storage.data_ptr()] = storage.nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                found = whole(model, inputs, *args, **kwargs)
            self.activations = max(self.activations, sum(kept.values()))
            return found

        self.trainer.compute_loss = compute_loss
        try:
            yield
        finally:
            self.trainer.compute_loss = whole
            for handle in handles:
                handle.remove()

    def _passed(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.frozen |= self.forward > 0

    def _reached(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self.forward:  # the first call in this pass
            synchronise()
            if self.warm:
                self.prefixes.append(time.perf_counter() - self.forward)
            self.forward = 0.0
            states = [value for value in inputs if isinstance(value, Tensor) and value.is_floating_point()]
            self.state = (states[0].detach(), *self._rows) if states and self.frozen else None

    def state_bytes(self, rows: int | None, tokens: int | None) -> int | None:
        """Bytes at the cut for all rows, without padding."""
        if rows is None or self.state is None:
            return None
        value, count, length = self.state
        if tokens is not None and value.ndim >= 3 and value.shape[1] == length:
            return round(size_of([value]) / (count * length) * tokens)
        return round(size_of([value]) / count * rows)
