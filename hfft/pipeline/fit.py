"""Training from start or checkpoint to its end: what a run began with is kept to, and a batch that does not fit is parted."""

from __future__ import annotations

import gc
import importlib.metadata
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from hfft import data
from hfft.console import on_main, say
from hfft.errors import BadInput, HfftError, RunError
from hfft.pipeline.build import Run, assemble
from hfft.recipe import Recipe
from hfft.runs import RunFolder, signals
from hfft.runs.checkpoint import facts as sealed_facts
from hfft.runs.checkpoint import step as step_of
from hfft.runs.folder import differences
from hfft.train import FineTuner, distributed, training_arguments
from hfft.train.memory import TooLarge
from hfft.wording import first_line

VERSIONS = ("hfft", "torch", "transformers", "datasets", "peft")


class Training:
    """One training of a run: assembled, and continued from the newest checkpoint that verifies.

    Attributes:
        run: the five parts; assembled anew where memory ran out.
        checkpoint: where training goes on from; None at the start.
    """

    def __init__(self, recipe: Recipe, arguments: TrainingArguments, folder: RunFolder, force: bool = False):
        """Assemble the run.

        Raises:
            BadInput: data or model cannot be used, or the checkpoint is of other data or versions and `force` is not set.
            RunError: there are checkpoints, and none of them verifies.
        """
        self.recipe, self.folder, self.force = recipe, folder, force
        self.begun = on_main(arguments, lambda: folder.layers() if folder.state() == "unfinished" else None)
        newest = (
            distributed.newest(arguments, folder) if arguments.save_on_each_node else on_main(arguments, folder.newest)
        )
        for line in newest.skipped:
            say(arguments, line)
        self.checkpoint: Path | None = newest.path
        begun = sealed_facts(newest.path) if newest.path else {}
        self._assemble(self._sized(arguments, begun.get("micro_batch")))
        changed = differences(begun, self.run.trainer.facts) if begun else []
        if changed and not force:
            raise BadInput(
                f"{self.checkpoint} is of a run with other conditions ({'; '.join(changed[:5])}); add --force to continue "
                f"all the same, or --fresh to begin anew"
            )
        if changed:
            say(arguments, f"forced to continue under other conditions: {'; '.join(changed[:5])}")

    def _sized(self, arguments: TrainingArguments, sizes: list[int] | None) -> TrainingArguments:
        """The arguments with the micro-batch of a run that had run out of memory; its global batch is the recipe's."""
        mine = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
        if sizes is None or tuple(sizes) == mine or sizes[0] * sizes[1] != mine[0] * mine[1]:
            return arguments
        return training_arguments(
            self.recipe,
            per_device_train_batch_size=sizes[0],
            gradient_accumulation_steps=sizes[1],
            save_on_each_node=arguments.save_on_each_node,
        )

    def _assemble(self, arguments: TrainingArguments) -> None:
        self.arguments = arguments
        self.run = assemble(self.recipe, arguments, self.begun)
        self.run.trainer.facts = began_with(self.run)

    def finish(self) -> None:
        """Train to the end; where memory runs out, again from a clean state in smaller micro-batches.

        Raises:
            RunError: training broke off; the last checkpoint is kept.
        """
        while (smaller := self._fitted()) is not None:
            gc.collect()  # what the attempt held on the device
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            size, accumulation = smaller
            newest = on_main(self.arguments, self.folder.newest)
            self.checkpoint = newest.path
            again = f"again from {newest.path.name}" if newest.path else "again from the start"
            say(
                self.arguments,
                f"out of memory: {again} with per_device_train_batch_size {size} and "
                f"gradient_accumulation_steps {accumulation}, the same global batch",
            )
            self._assemble(self._sized(self.arguments, [size, accumulation]))

    def _fitted(self) -> tuple[int, int] | None:
        """None once trained, or the smaller micro-batch to try; the run is let go of, to free its memory."""
        try:
            fit(self.run.trainer, self.checkpoint)
        except TooLarge as error:
            if error.smaller is None or self.arguments.world_size > 1:  # the others wait in the middle of a step
                raise
            del self.run
            return error.smaller
        return None


def began_with(run: Run) -> dict[str, Any]:
    """What decides a run's weights beside its recipe: versions, number of processes, rows, micro-batch."""
    arguments = run.trainer.args
    return {
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "world_size": arguments.world_size,
        "data": data.fingerprints(run.splits),
        "micro_batch": [arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps],
    }


def fit(trainer: FineTuner, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint where there is one; a signal ends it after the running step.

    Raises:
        RunError: training broke off; the last checkpoint is kept.
        signals.Stopped: a signal ended it; the checkpoint of its step is there.
    """
    try:
        gc.freeze()  # training begins by collecting garbage: a second over the libraries' own objects
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
            f"{checkpoint} does not fit the recipe ({first_line(error)}); undo the change, or add --fresh to begin anew"
        ) from error
    except OSError as error:
        raise RunError(
            f"training broke off: {first_line(error)}; the last checkpoint in {trainer.args.output_dir} is kept"
        ) from error
    finally:
        gc.unfreeze()
