"""Train from the start or a checkpoint to the end, under the conditions of the first start and within the memory."""

from __future__ import annotations

import gc
import importlib.metadata
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments

from hfft import data, layers, publish
from hfft.errors import BadInput, HfftError, RunError
from hfft.pipeline.build import Run, build_run
from hfft.processes import by_first_process, say
from hfft.recipe import Recipe
from hfft.runs import RunFolder, signals
from hfft.runs.checkpoint import facts as sealed_facts
from hfft.runs.checkpoint import step as step_of
from hfft.runs.data_note import note_data
from hfft.runs.folder import State, differences
from hfft.train import FineTuner, distributed, training_arguments
from hfft.train.memory import TooLarge
from hfft.train.sanity_check import faults, head_weights
from hfft.train.step_loss import uniform_guess
from hfft.wording import first_line

VERSIONS = ("hfft", "torch", "transformers", "datasets", "peft")


class Training:
    """One training of a run: built, and resumed from the newest intact checkpoint.

    Attributes:
        run: the five parts; built again if memory runs out.
        checkpoint: where training resumes; None at the start.
    """

    def __init__(
        self, recipe: Recipe, arguments: TrainingArguments, folder: RunFolder, state: State, force: bool = False
    ):
        """Build the run and write its recipe and table of layers.

        Raises:
            BadInput: the data or the model cannot be used, the token may not push, or the checkpoint belongs to other data
                or versions and `force` is not set.
            RunError: there are checkpoints, but all are damaged.
        """
        goes_on = state == "unfinished"
        rewrite = not goes_on or bool(folder.changed(recipe.resolved()))
        self.recipe = (
            Recipe.model_validate(folder.pinned(recipe.resolved())) if goes_on else recipe
        )  # the same, with the commits the run began with
        if self.recipe.publish.hub_model_id:
            publish.check_permission(self.recipe.publish)
        self.folder, self.force, self.begun = folder, force, folder.layers() if goes_on else None
        newest = distributed.newest(arguments, folder) if arguments.save_on_each_node else folder.newest()
        for line in newest.skipped:
            say(line)
        self.checkpoint: Path | None = newest.path
        begun = sealed_facts(newest.path) if newest.path else {}
        self._check_version((begun.get("versions") or {}).get("hfft"))
        self._build(self._sized(arguments, begun.get("micro_batch")))
        self._check_conditions(differences(begun, self.run.trainer.facts) if begun else [])
        if rewrite:
            folder.write_recipe(recipe.resolved(), self.run.commit, self.run.splits.revision, self.run.adapter_commit)
        folder.write_json("layers.json", self.run.layers)
        splits, rows = self.run.splits, self.run.trainer.facts["data"]
        named = data.names_files(splits.train, self.recipe.data)
        note_data(folder, data.file_state(self.recipe.data), rows, splits.content.get("train"), named)

    def _check_version(self, earlier: str | None) -> None:
        """Refuse a checkpoint of another minor version, whose training state has another format."""
        now = importlib.metadata.version("hfft")
        if earlier is not None and earlier.split(".")[:2] != now.split(".")[:2]:
            raise BadInput(
                f"{self.checkpoint} was written by hfft {earlier}, whose runs hfft {now} cannot continue; finish it with that "
                f"version, or add --fresh to start again"
            )

    def _check_conditions(self, changed: list[str]) -> None:
        if changed and not self.force:
            raise BadInput(
                f"{self.checkpoint} belongs to a run under other conditions ({'; '.join(changed[:5])}); add --force to continue "
                f"anyway, or --fresh to start again"
            )
        if changed:
            say(f"--force: continuing under other conditions: {'; '.join(changed[:5])}")

    def _sized(self, arguments: TrainingArguments, sizes: list[int] | None) -> TrainingArguments:
        """The arguments with the smaller micro-batch of a run that ran out of memory, and the same global batch."""
        mine = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
        if sizes is None or tuple(sizes) == mine or sizes[0] * sizes[1] != mine[0] * mine[1]:
            return arguments
        return training_arguments(
            self.recipe,
            per_device_train_batch_size=sizes[0],
            gradient_accumulation_steps=sizes[1],
            save_on_each_node=arguments.save_on_each_node,
        )

    def _build(self, arguments: TrainingArguments) -> None:
        self.arguments = arguments
        self.run = build_run(self.recipe, arguments, self.begun)
        self.run.trainer.facts = began_with(self.run)

    def finish(self) -> None:
        """Train to the end; if memory runs out, resume from a clean state with smaller micro-batches.

        Raises:
            RunError: training failed; the last checkpoint is kept.
        """
        self.started = time.perf_counter()
        if self.checkpoint is not None:
            say(f"continuing from {self.checkpoint}")
        trainer = self.run.trainer
        before = layers.frozen_digests(trainer.model, trainer.live_norms)
        head = head_weights(trainer.model, trainer.depths)
        del trainer  # free its memory if the batch does not fit
        while (smaller := self._fitted()) is not None:
            gc.collect()  # the tensors of the failed attempt
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            size, accumulation = smaller
            newest = self.folder.newest()
            self.checkpoint = newest.path
            again = f"again from {newest.path.name}" if newest.path else "again from the start"
            say(
                f"out of memory: trying {again} with per_device_train_batch_size {size} and "
                f"gradient_accumulation_steps {accumulation}, the same global batch",
            )
            self._build(self._sized(self.arguments, [size, accumulation]))

        self._look_back(before, head)

    def _look_back(self, before: dict[str, str], head: dict[str, Any]) -> None:
        """Compare the frozen tensors with their values before training, and look for faults."""
        trainer = self.run.trainer
        with trainer.scored():
            self.model = trainer.whole_model()
            moved, self.faults = look_back(self.run, self.model, before, head)
        self.frozen: dict[str, Any] = {"tensors": len(before), "moved": moved}
        if live := len(layers.frozen_tensors(trainer.model)) - len(before):
            self.frozen["live"] = live
        if trainer.follow is not None:
            self.frozen |= {"waited": trainer.follow.waited, "early": trainer.follow.early}

    def _fitted(self) -> tuple[int, int] | None:
        """None after training, or the smaller micro-batch to try next; in that case the run is deleted to free its memory."""
        try:
            fit(self.run.trainer, self.checkpoint)
        except TooLarge as error:
            if (
                error.smaller is None or self.arguments.world_size > 1
            ):  # the other processes wait in the middle of a step
                raise
            del self.run
            return error.smaller
        return None


@by_first_process
def look_back(run: Run, model: nn.Module, before: dict[str, str], head: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Names of frozen tensors that changed, and the faults of a finished training; usually there are none."""
    trainer, state = run.trainer, run.trainer.state
    wrapping = trainer.steps.of["example_loss"]
    guess = uniform_guess(trainer.problem, wrapping, trainer.setting.class_ids, run.labels.size, trainer.at())
    wrong = faults(state.log_history, guess, trainer.term_log.names, head, model, state.global_step)
    return layers.moved(model, before), wrong


def began_with(run: Run) -> dict[str, Any]:
    """Conditions besides the recipe that determine a run's weights: versions, number of processes, rows, micro-batch."""
    arguments = run.trainer.args
    return {
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "world_size": arguments.world_size,
        "data": data.fingerprints(run.splits),
        "micro_batch": [arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps],
    }


def fit(trainer: FineTuner, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint if there is one; a signal stops training after the current step.

    Raises:
        RunError: training failed; the last checkpoint is kept.
        signals.Stopped: a signal stopped it; a checkpoint of the last step was written.
    """
    try:
        gc.freeze()  # training starts with a garbage collection, which would take a second for the libraries' own objects
        with signals.deferred():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except HfftError:
        raise
    except torch.OutOfMemoryError as error:
        raise RunError(f"out of memory: {first_line(error)}; lower training.per_device_eval_batch_size") from error
    except (ValueError, KeyError) as error:
        if checkpoint is None or trainer.state.global_step > step_of(checkpoint):
            raise
        raise RunError(
            f"{checkpoint} does not fit the recipe ({first_line(error)}); undo the change, or add --fresh to start again"
        ) from error
    except OSError as error:
        raise RunError(
            f"training failed: {first_line(error)}; the last checkpoint in {trainer.args.output_dir} is kept"
        ) from error
    finally:
        gc.unfreeze()
