"""The end of a run of several tasks: each task's model saved, scored and reported as a run of its own, in `tasks/<task>`.

The model folder of the whole run has a folder for each task, `model/<task>`, with the same files, which take no further space.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hfft import data, layers, report
from hfft.data.modality.base import Rows
from hfft.evaluate.intervals import paired_difference
from hfft.evaluate.outputs import Outputs, is_right, mean_losses
from hfft.pipeline import rows
from hfft.pipeline.build import Run
from hfft.pipeline.conclude import conclude, keep_one_checkpoint, own_code
from hfft.pipeline.fit import Training
from hfft.pipeline.save import prove_answers, save_whole, write_folder
from hfft.pipeline.task_models import link, share, task_model
from hfft.pipeline.uses import common
from hfft.predict import Predictor
from hfft.predict.held_out import HeldOut
from hfft.processes import by_first_process
from hfft.publish import reload
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.runs.data_note import data_of_run, note_data
from hfft.runs.tasks import FOLDER
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

SPLITS = ("validation", "test")
REMEDY = "a larger weight of the task, or strategy.mixing, gives it more of the training"


def folder_of(folder: RunFolder, task: str) -> RunFolder:
    """The run folder of one task."""
    return RunFolder(folder.path / FOLDER / task)


def single(recipe: Recipe, folder: RunFolder, task: str, commit: str | None) -> Recipe:
    """The recipe that the run of a task is recorded with."""
    values = rows.singles(recipe)[task].plain()
    values["training"] = {**values["training"], "output_dir": str(folder_of(folder, task).path)}
    if recipe.publish.hub_model_id:
        values["publish"] = {**recipe.publish.plain(), "hub_model_id": f"{recipe.publish.hub_model_id}-{task}"}
    if commit is not None:
        values["backbone"] = {**values["backbone"], "revision": commit}
    return Recipe.model_validate(values)


@by_first_process
def finish(training: Training, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Save, score and report each task; returns task -> the contents of its metrics.json.

    Args:
        shared: what metrics.json says of the training of all tasks.

    Raises:
        RunError: a model cannot be written, or answers otherwise once it is loaded.
    """
    recipe, run, folder = training.recipe, training.run, training.folder
    whole = layers.merged(training.model) if recipe.layers.adapter else training.model
    meanings, found, first = dict(run.labels.tasks), dict[str, Any](), None
    for task, one in run.splits.tasks.items():
        began = time.perf_counter()
        own, sub = single(recipe, folder, task, run.commit), folder_of(folder, task)
        sub.path.mkdir(parents=True, exist_ok=True)
        sub.write_recipe(own.resolved(), run.commit, one.revision)
        model = task_model(whole, run.labels, task)

        def write(temp_dir: Path, model: Any = model, own: Recipe = own, first: Path | None = first) -> None:
            save_whole(model, run.processor, own.the_task, temp_dir)
            if first is not None:
                share(temp_dir, first)

        common.save(sub, write)
        first = first or sub.model
        with run.trainer.accelerator.autocast():  # as it was scored
            prove_answers(own, run.trainer.args, sub, sample_of(whole, task, own, run))
        metrics = scored(own, sub, model, one, meanings[task], run, shared, began)
        sub.write_json("layers.json", run.layers)
        shutil.copyfile(folder.path / "trainer_state.json", sub.path / "trainer_state.json")
        conclude(own, sub, metrics, (one, meanings[task]))
        found[task] = metrics
    return found


def scored(
    own: Recipe,
    sub: RunFolder,
    model: Any,
    splits: data.Splits,
    labels: Labels,
    run: Run,
    shared: Mapping[str, Any],
    began: float,
) -> dict[str, Any]:
    """The contents of a task's metrics.json: its model's answers to its held-out rows, and the training of all tasks."""
    predictor = Predictor(model, run.processor, own.the_task.modality)
    held = HeldOut.of(predictor, splits.columns, labels, str(sub.path))
    size = run.trainer.args.per_device_eval_batch_size

    def answer(of: Rows) -> Iterator[tuple[Tensor, Tensor]]:
        return held.answers(of, size)

    scores = common.score(own, sub, splits, labels, answer)
    note_data(
        sub,
        data.file_state(own.data),
        data.fingerprints(splits),
        splits.content.get("train"),
        data.names_files(splits.train, own.data),
    )
    found = common.metrics_of(own, splits, labels, run.commit, scores, began, REMEDY)
    train = {**shared["train"], "n": splits.sizes["train"]}
    kept = ("strategy", "world_size", "frozen", "faults", "cache", "advice")
    return {
        **found,
        **{key: shared[key] for key in kept},
        "train": train,
        "together": list(run.splits.tasks),
        **own_code(sub),
    }


def sample_of(whole: Any, task: str, own: Recipe, run: Run) -> reload.Sample:
    """The first held-out rows of a task, with its part of the trained model's outputs."""
    splits, meaning = run.splits.tasks[task], dict(run.labels.tasks)[task]
    inputs = reload.sample_inputs(splits, own.the_task, reload.sampled_split(splits))
    logits = Predictor(whole.eval(), run.processor, own.the_task.modality).logits(inputs, len(inputs))
    return reload.Sample(inputs, PROBLEMS[meaning.problem].probabilities(logits[:, run.labels.spans[task]]))


@by_first_process
def link_models(folder: RunFolder, tasks: Mapping[str, Any]) -> None:
    """Give the whole run's model folder a folder for each task, with the files of the task's own run."""

    def write(temp_dir: Path) -> None:
        for task in tasks:
            target = temp_dir / task
            target.mkdir(parents=True)
            for file in sorted(folder_of(folder, task).model.iterdir()):
                link(file, target / file.name)

    write_folder(folder.model, write)


def together(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What metrics.json of the whole run says of its tasks: split -> `task_metric` -> value, with the rows of all of them."""
    found: dict[str, Any] = {}
    for split in SPLITS:
        there = {task: metrics[split] for task, metrics in tasks.items() if split in metrics}
        if there:
            flat = {
                f"{task}_{name}": value
                for task, one in there.items()
                for name, value in one.items()
                if name not in ("loss", "n")
            }
            found[split] = {**flat, "n": sum(one["n"] for one in there.values())}
    kept = (*SPLITS, "problem", "labels", "findings", "data")
    found["tasks"] = {task: {key: metrics[key] for key in kept if key in metrics} for task, metrics in tasks.items()}
    found["findings"] = [f"{task}: {line}" for task, metrics in tasks.items() for line in metrics["findings"]]
    return found


def beside_single(ours: RunFolder, theirs: RunFolder, seed: int) -> dict[str, Any]:
    """Split -> what sharing the backbone changed for a task: `difference` of the rows answered rightly, or of the losses, or
    `why` it is not known.

    Args:
        ours: the task's run among others.
        theirs: its run by itself, on the same rows.
    """
    found: dict[str, Any] = {}
    noted = [(data_of_run(folder) or {}).get("rows", {}) for folder in (ours, theirs)]
    for split in (split for split in SPLITS if split in noted[0]):
        files = [folder.outputs / f"{split}.safetensors" for folder in (ours, theirs)]
        if not all(file.is_file() for file in files):
            found[split] = {"why": "the outputs are not stored (score.outputs)"}
        elif noted[0][split] != noted[1].get(split):
            found[split] = {"why": "the rows are not the same"}
        else:
            what, (a, b) = row_figures(*map(Outputs.read, files))
            difference = paired_difference(a, b, seed)
            found[split] = {"what": what, "n": len(a), "single": float(b.mean()), "difference": difference}
    return found


def row_figures(*several: Outputs) -> tuple[str, list[np.ndarray]]:
    """What is compared row by row, and its number for each row, `(N,)`: 1 if the class is right, with other targets the loss."""
    if all(PROBLEMS[outputs.labels.problem].classes for outputs in several):
        return "accuracy", [is_right(outputs).astype(float) for outputs in several]
    return "loss", [mean_losses(outputs) for outputs in several]


@by_first_process
def conclude_all(training: Training, metrics: dict[str, Any]) -> None:
    """Write the report of the whole run and, last, metrics.json, which marks it as finished; earlier checkpoints then go."""
    report.write_report(training.folder, metrics)
    training.folder.write_json("metrics.json", metrics)
    keep_one_checkpoint(training.run.trainer, training.recipe, training.folder)
