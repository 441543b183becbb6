"""Save the finished model, completely or not at all, in a form that loads without hfft."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainingArguments

from hfft import layers, publish
from hfft.backbone import published_code
from hfft.errors import RunError
from hfft.evaluate.outputs import Outputs
from hfft.pipeline.build import Run
from hfft.predict import Predictor
from hfft.processes import by_first_process
from hfft.publish import reload
from hfft.recipe import Recipe
from hfft.runs import RunFolder, checkpoint
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import Task
from hfft.wording import first_line


@by_first_process
def save_model(run: Run, model: Any, recipe: Recipe, folder: Path) -> None:
    """Write weights, config and processor to a temporary folder, sync it to the disk, and rename it.

    Raises:
        RunError: the files cannot be written; the last checkpoint is kept.
    """

    def write(temp_dir: Path) -> None:
        if recipe.published_as == "adapter":
            revision = run.commit or recipe.backbone.revision
            pinned = recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"revision": revision})})
            publish.save_adapter(
                model, pinned.backbone, pinned.head, pinned.the_task, run.labels, run.processor, temp_dir
            )
        else:
            save_whole(
                layers.merged(model) if recipe.layers.adapter else model, run.processor, recipe.the_task, temp_dir
            )

    try:
        write_folder(folder, write)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"the model could not be written to {folder}: {first_line(error)}; the last checkpoint is kept, and the same "
            f"command continues from it"
        ) from error


def save_whole(model: Any, processor: Any, task: Task, folder: Path) -> None:
    """Write a model that is no adapter, with its processor."""
    model.config.use_cache = True
    published_code.save(model, folder, task.auto_class_of(model.config))
    processor.save_pretrained(folder)


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, sync it to the disk, and give it its name; on an error nothing is left of it."""
    temp_dir = folder.with_name(f".{folder.name}")
    for old in (temp_dir, folder):
        shutil.rmtree(old, ignore_errors=True)
    try:
        write(temp_dir)
        for path in temp_dir.iterdir():
            checkpoint.sync(path)
        os.replace(temp_dir, folder)
    except (OSError, SafetensorError):
        shutil.rmtree(temp_dir, ignore_errors=True)
        raise


@by_first_process
def prove_saved(run: Run, model: Any, recipe: Recipe, folder: RunFolder) -> None:
    """Reload the saved model, and compare its outputs on a sample with those that were scored, in the same precision.

    Args:
        model: the trained model, which computes the expected outputs if those of the scoring are not stored.

    Raises:
        RunError: plain transformers cannot load it, or its outputs differ.
    """
    task, trainer, source = recipe.the_task, run.trainer, str(folder.model)
    plainly = reload.loads_plainly(folder.model, recipe.backbone)
    try:
        with trainer.accelerator.autocast():  # the model's forward pass has it from accelerate, a reloaded one has not
            if not task.labelled:
                whole = getattr(model, "get_base_model", lambda: model)()  # of an adapter, which was merged to be saved
                found = reload.different_tensors(source, task, whole)
                wrong = f"in {len(found)} tensors, such as {found[0]}" if found else None
            else:
                sample = scored_sample(run, model, task, folder)
                worst = reload.answers_difference(
                    source, sample, task, plainly, device=trainer.args.device, dtype="auto"
                )
                wrong = f"by {worst:.2g}" if worst > tolerance(trainer.args, recipe.backbone.dtype) else None
    except (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(
            f"{source} was saved but cannot be loaded: {first_line(error)}; the last checkpoint is kept"
        ) from error
    if wrong is not None:
        raise RunError(
            f"the outputs of {source}, reloaded, differ from those that were scored ({wrong}); the last checkpoint is kept; "
            f"please report this with {folder.recipe}"
        )


def prove_answers(recipe: Recipe, arguments: TrainingArguments, folder: RunFolder, sample: reload.Sample) -> None:
    """Load the saved model as others will, and compare its outputs on a sample with those that were scored.

    Raises:
        RunError: it cannot be loaded, or its outputs differ.
    """
    source, plainly = str(folder.model), reload.loads_plainly(folder.model, recipe.backbone)
    how = {"device": arguments.device, "dtype": "auto"}
    try:
        worst = reload.answers_difference(source, sample, recipe.the_task, plainly, **how)
    except (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(f"{source} was saved but cannot be loaded: {first_line(error)}") from error
    if worst > tolerance(arguments, recipe.backbone.dtype):
        raise RunError(
            f"the outputs of {source}, reloaded, differ from those that were scored (by {worst:.2g}); please report this "
            f"with {folder.recipe}"
        )


def scored_sample(run: Run, model: Any, task: Task, folder: RunFolder) -> reload.Sample:
    """The first held-out rows, with the outputs that were scored."""
    split = reload.sampled_split(run.splits)
    inputs, file = reload.sample_inputs(run.splits, task, split), folder.outputs / f"{split}.safetensors"
    if not file.is_file():
        return reload.Sample(inputs, Predictor(model.eval(), run.processor, task.modality)(inputs))
    logits = Outputs.read(file).logits
    assert logits is not None  # of a task with labels
    return reload.Sample(inputs, PROBLEMS[task.problem].probabilities(torch.from_numpy(logits[: len(inputs)].copy())))


def tolerance(arguments: TrainingArguments, dtype: str) -> float:
    """How far outputs from batches of different sizes may differ in the precision of the run."""
    if arguments.bf16 or dtype == "bfloat16":
        return 5e-2
    if arguments.fp16 or dtype == "float16":
        return 1e-2
    return reload.TOLERANCE if arguments.device.type == "cpu" else 5e-3  # other devices round products of float32
