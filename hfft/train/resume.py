"""A Trainer that can stop at any moment and resume bit-identically, with transformers' loop and sealed checkpoints.

`progress_<rank>.json` stores what a transformers checkpoint leaves out: the loss since the last log, the sums of the loss
terms, and what was still due at that step, such as an evaluation interrupted by a signal.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerControl
from transformers.trainer_utils import TrainOutput

from hfft.errors import RunError
from hfft.layers import whole
from hfft.runs import checkpoint
from hfft.runs.signals import Stopped
from hfft.strategy.non_finite import REMEDY
from hfft.train import memory
from hfft.train.finite_check import FiniteCheck, check_weights
from hfft.train.term_log import TermLog


class LeftEvaluation(Exception):
    """An evaluation was interrupted because a signal asks to stop."""


class Resumable(Trainer):
    """Trainer with sealed checkpoints that stops between steps and checks each step before it is applied.

    Args:
        facts: the conditions that the run started with, stored in the seal of each checkpoint.
        skips: how many non-finite steps may be skipped.
    """

    control: TrainerControl

    def __init__(self, *args: Any, facts: dict[str, Any] | None = None, skips: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.facts = dict(facts or {})
        self.finite_check = FiniteCheck(self.args.device, self.args.world_size, skips, REMEDY)
        self.loss_terms: dict[str, Tensor] = {}  # of the current step, for the error message if it is not finite
        self.term_log = TermLog()
        self.left_out = False  # whether the last checked step was skipped
        self.epoch_ended = False
        self._temp_dir: Path | None = None
        self._checkpoint: Path | None = None  # from which this training resumed
        self._saved = False
        self._due: dict[str, bool] = {}
        self._drawn: Any = None  # random state after doing what was due at the checkpoint
        self._loss: Tensor | None = None
        self._norm: Tensor | None = None
        self._logged: tuple[Any, Any] = (None, None)  # gradient norm and learning rate of the last step
        self._statistics: list[
            tuple[Tensor, Tensor]
        ] = []  # before the step: the logged loss, and floating-point buffers
        self.add_callback(_Watching(self))

    # --- stopping

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """transformers' training, from a sealed checkpoint if one is given.

        Raises:
            Stopped: a signal arrived; the checkpoint of that step has been written.
            Diverged: loss, gradient or weights are not finite.
            memory.TooLarge: a micro-batch does not fit.
        """
        self._checkpoint = Path(resume_from_checkpoint) if resume_from_checkpoint else None
        if self._checkpoint is not None:
            self.args.eval_on_start = False  # was done before that checkpoint
        output = super().train(resume_from_checkpoint, *args, **kwargs)
        # These flags are as of the last save, so a run that was stopped after its last step would end with others.
        flags = self.state.stateful_callbacks.get("TrainerControl", {}).get("args", {})
        flags |= {"should_save": False, "should_training_stop": True}
        return output

    def leave_if_asked(self) -> None:
        """Called for each batch of an evaluation: interrupt it if a signal asks to stop."""
        if self.is_in_train and self.finite_check.asked_now():
            raise LeftEvaluation

    def _maybe_log_save_evaluate(
        self, tr_loss: Any, grad_norm: Any, model: Any, trial: Any, *args: Any, **kw: Any
    ) -> None:
        self._logged = (grad_norm, kw.get("learning_rate"))
        self._saved = False
        if self.control.should_log or self.control.should_evaluate or self.control.should_save:
            self.finite_check.settle()
        before = random_state() if self.control.should_evaluate else None
        try:
            super()._maybe_log_save_evaluate(tr_loss, grad_norm, model, trial, *args, **kw)
        except LeftEvaluation:
            set_random_state(before)
            self._due, self._saved = {"evaluate": True, "save": self.control.should_save}, False
        if self._due or (self.finite_check.asked() and (self.epoch_ended or not self._at_epoch_end())):
            self.finite_check.settle()
            if not self._saved:
                self._save_checkpoint(model, trial)
            name = f"{checkpoint.PREFIX}{self.state.global_step}"
            raise Stopped(
                self.finite_check.asked(), f"the same command continues from {name} in {self.args.output_dir}"
            )

    def _at_epoch_end(self) -> bool:
        """Whether the step that just ended is the last of its epoch; the loop then ends the epoch and saves by itself."""
        return float(self.state.epoch or 0).is_integer() or self.state.global_step >= self.state.max_steps

    # --- steps

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass; its loss is stored until the step is checked."""
        if self.finite_check.skips and not self._statistics:
            floats = [self._tr_loss, *(b for b in model.buffers() if b.is_floating_point())]
            self._statistics = [(buffer, buffer.clone()) for buffer in floats]
        with memory.watched(self.args):
            loss = self.micro_batch(model, inputs, num_items_in_batch)
        self._loss = loss if self._loss is None else self._loss + loss
        return torch.nan_to_num(loss, 0.0, 0.0, 0.0) if self.finite_check.skips else loss

    def micro_batch(self, model: nn.Module, inputs: Any, num_items_in_batch: Any) -> Tensor:
        """Forward and backward pass of one micro-batch, and anything else that a step computes."""
        return super().training_step(model, inputs, num_items_in_batch)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        self._norm = whole(super()._get_grad_norm(model, grad_norm))
        return self._norm

    def judge_step(self, model: nn.Module) -> None:
        """Before the optimiser step: stop, or skip the step, if loss or gradient is not finite."""
        figures = {"loss": torch.as_tensor(self._loss), "gradient norm": torch.as_tensor(self._norm), **self.loss_terms}
        scaled = getattr(self.accelerator, "scaler", None) is not None  # fp16: the scaler skips such steps itself
        judged = ["loss"] if scaled else ["loss", "gradient norm"]
        self.left_out = self.finite_check.step(self.state.global_step + 1, figures, judged)
        if self.left_out:
            model.zero_grad(set_to_none=True)  # without gradients the optimiser changes nothing, not even its moments
            with torch.no_grad():
                for buffer, before in self._statistics:
                    buffer.copy_(before)
        self._loss, self._norm, self._statistics = None, None, []
        self.loss_terms.clear()

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps:  # otherwise a finished run would take one more step
            self.control.should_training_stop = True
        if self.control.should_training_stop:
            return
        super()._run_epoch(*args, **kwargs)

    # --- saving

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._temp_dir) if self._temp_dir is not None else super()._get_output_dir(trial)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.args.save_on_each_node:  # transformers 5.23 writes weights only on the first process of all hosts
            self.model.should_save_on_this_rank = bool
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model.__dict__.pop("should_save_on_this_rank", None)
        pickled = Path(output_dir or self.args.output_dir) / "training_args.bin"
        pickled.unlink(missing_ok=True)  # nothing reads it

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write transformers' checkpoint to a temporary folder, seal it, and only then give it its name.

        Raises:
            RunError: it cannot be written; the previous one is kept.
            Diverged: a weight is not finite.
        """
        run, name = Path(super()._get_output_dir(trial)), f"{checkpoint.PREFIX}{self.state.global_step}"
        temp_dir = run / checkpoint.TEMP_DIR / name
        check_weights(self.model, self.state.global_step)
        try:
            if self.args.should_save:
                if not run.is_dir():
                    raise FileNotFoundError(2, f"the run folder {run} is gone")
                shutil.rmtree(temp_dir, ignore_errors=True)
                temp_dir.mkdir(parents=True)
            self.accelerator.wait_for_everyone()
            self._temp_dir = temp_dir.parent
            super()._save_checkpoint(model, trial)
            self._save_methods(temp_dir)
            (temp_dir / f"progress_{self.args.process_index}.json").write_text(json.dumps(self.progress()))
            best = self._place_best(run)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self.state.save_to_json(str(temp_dir / "trainer_state.json"))
                checkpoint.write_digests(temp_dir, self.facts)
                checkpoint.publish(temp_dir, run / name)
                checkpoint.rotate(run, self.args.save_total_limit, best, run / name)
                shutil.rmtree(temp_dir.parent, ignore_errors=True)
            self._saved = True
        except torch.OutOfMemoryError:
            raise
        except (OSError, RuntimeError, SafetensorError) as error:
            raise RunError(checkpoint.failed(run, self.state.global_step, error)) from error
        finally:
            self._temp_dir = None
            if not self._saved and self.args.should_save:
                shutil.rmtree(temp_dir.parent, ignore_errors=True)

    def _save_methods(self, folder: Path) -> None:
        """Write the state of methods into a checkpoint."""

    def _place_best(self, run: Path) -> Path | None:
        """The path of the best checkpoint, or its path once this one has its name; also stored in the trainer state."""
        best = self.state.best_global_step
        path = run / f"{checkpoint.PREFIX}{best}" if best else None
        if path is not None and best != self.state.global_step and not path.is_dir():
            path = None
        self.state.best_model_checkpoint = str(path) if path else None
        return path

    def progress(self) -> dict[str, Any]:
        """This process's part of what transformers' checkpoint leaves out."""
        norm, rate = self._logged
        at_epoch_end = self._at_epoch_end() and not self.epoch_ended and not self._due
        return {
            "loss": self._tr_loss.item(),
            "total_loss": self._total_loss_scalar,
            "logged": self._globalstep_last_logged,
            "grad_norm": float(norm) if norm is not None else None,
            "learning_rate": rate,
            "skipped": self.finite_check.skipped,
            "terms": self.term_log.state(),
            "due": {"epoch_end": at_epoch_end, "evaluate": False, "save": False, **self._due},
        }

    # --- continuing

    def catch_up(self) -> None:
        """Restore this process's progress from the checkpoint, and do what was still due at its step."""
        if self._checkpoint is None:
            return
        self._place_best(Path(self.args.output_dir))
        file = self._checkpoint / f"progress_{self.args.process_index}.json"
        if not file.is_file():  # written by another number of processes
            return
        found = json.loads(file.read_text(encoding="utf-8"))
        self.restore(found)
        due = found["due"]
        if not any(due.values()):
            return
        self._load_rng_state(str(self._checkpoint))
        if due["epoch_end"]:
            self.epoch_ended = True
            self.control = self.callback_handler.on_epoch_end(self.args, self.state, self.control)
        self.control.should_evaluate |= due["evaluate"]
        self.control.should_save |= due["save"]
        norm, rate = found["grad_norm"], found["learning_rate"]
        inputs = (self._tr_loss, norm, self.model_wrapped, None, self.state.epoch, None, 0.0)
        self._maybe_log_save_evaluate(*inputs, learning_rate=rate)
        self._drawn = random_state()

    def restore(self, progress: dict[str, Any]) -> None:
        """Restore what `progress` returned."""
        self._tr_loss.fill_(progress["loss"])
        self._total_loss_scalar, self._globalstep_last_logged = progress["total_loss"], progress["logged"]
        self.finite_check.skipped = progress["skipped"]
        self.term_log.load(progress["terms"], self.args.device)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self._drawn is not None:
            set_random_state(self._drawn)
            self._drawn = None
        else:
            super()._load_rng_state(checkpoint)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """transformers' log; the mean loss of a resumed training covers all its steps."""
        if "train_loss" in logs:
            logs["train_loss"] = self._total_loss_scalar / max(self.state.global_step - self.finite_check.skipped, 1)
        super().log(logs, start_time)


class _Watching(TrainerCallback):
    """Calls a Resumable at the right points of transformers' loop."""

    def __init__(self, trainer: Resumable):
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.should_save:
            Path(args.output_dir).mkdir(parents=True, exist_ok=True)
        self.trainer.epoch_ended = False
        self.trainer.catch_up()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.epoch_ended = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.trainer.judge_step(model)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.epoch_ended = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.finite_check.settle()
        check_weights(self.trainer.model, state.global_step)


def random_state() -> tuple[Any, ...]:
    """The states of all global generators: Python's, NumPy's, torch's, and those of the CUDA devices."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def set_random_state(state: Any) -> None:
    """Restore what `random_state` returned."""
    python, numpy, cpu, cuda = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
