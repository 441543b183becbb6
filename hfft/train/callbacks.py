"""Callbacks of a run: set the epoch for augmentation, print one line per epoch, keep the progress bar quiet, call methods."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import ProgressCallback


class SetEpoch(TrainerCallback):
    """Sets the epoch of the training rows, so that augmentation draws for it, also in a resumed run."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch from the step, which a checkpoint restores."""
        if hasattr(self.trainer.train_dataset, "set_epoch"):
            self.trainer.train_dataset.set_epoch(int(state.epoch or 0))


class QuietProgress(ProgressCallback):
    """The progress bar without the dictionaries that transformers prints into it."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Print nothing: `EpochLine` prints one line per epoch."""


class EpochLine(TrainerCallback):
    """Prints one line per epoch: mean training loss, validation metrics, time; more if it is validated more often."""

    def __init__(self, show: Callable[[str], None], metrics: Sequence[str]):
        self.show, self.metrics = show, metrics
        self.losses: list[float] = []
        self.started = time.perf_counter()
        self.training = self.owed = False

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._settle(state)
        self.training = self.owed = True
        self.started, self.losses = time.perf_counter(), []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Collect the losses; after an evaluation, print the line."""
        logs = logs or {}
        if "loss" in logs:
            self.losses.append(logs["loss"])
        if "eval_loss" in logs and self.training:
            figures = [f"{name} {logs[f'eval_{name}']:.4f}" for name in self.metrics if f"eval_{name}" in logs]
            self._write(state, f"validation loss {logs['eval_loss']:.4f} {' '.join(figures)}  ")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print the line of the last epoch if nothing was validated."""
        self._settle(state)
        self.training = False

    def _settle(self, state: Any) -> None:
        if self.owed:  # by now the losses of its last steps are logged
            self._write(state, "")

    def _write(self, state: Any, validation: str) -> None:
        self.owed = False
        if state.is_world_process_zero:
            loss = f"loss {sum(self.losses) / len(self.losses):.4f}  " if self.losses else ""
            seconds = time.perf_counter() - self.started
            self.show(f"epoch {state.epoch:.3g}/{state.num_train_epochs:g}  {loss}{validation}{seconds:.1f} s")


class CallMethods(TrainerCallback):
    """Calls the methods at the right points of transformers' loop."""

    def __init__(self, trainer: Any):
        self.trainer = trainer
        self.rates: list[float] = []  # of the scheduler, during the optimiser step

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass the epoch to the methods and the rows they read; methods resumed within an epoch have it from the checkpoint."""
        if self.trainer.accompanied_rows is not None:
            self.trainer.accompanied_rows.set_epoch(int(state.epoch or 0))
        for rows in self.trainer.sets.values():
            if hasattr(rows, "set_epoch"):
                rows.set_epoch(int(state.epoch or 0))
        if float(state.epoch or 0).is_integer():
            self.trainer.steps.epoch(self.trainer.outputs_of)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Multiply the learning rates by the methods' factor."""
        factor, groups = self.trainer.steps.rate(), self.trainer.optimizer.param_groups
        if factor != 1.0:
            self.rates = [group["lr"] for group in groups]
            for group in groups:
                group["lr"] = group["lr"] * factor

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the learning rates, and notify methods of a step, unless it was skipped."""
        trainer = self.trainer
        if self.rates and trainer.follow is None:  # a schedule of layers has restored its own
            for group, rate in zip(trainer.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate
        self.rates = []
        taken = not trainer.left_out and not trainer.accelerator.optimizer_step_was_skipped
        trainer.term_log.settle(taken)
        if taken:
            trainer.steps.updated()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notify methods of the end of an epoch, before its evaluation and its checkpoint."""
        if float(state.epoch or 0).is_integer():
            self.trainer.steps.epoch_ended()
