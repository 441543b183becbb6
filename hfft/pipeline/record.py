"""What a run reports: before the first step, in metrics.json, and at the end."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfft import data, layers, publish
from hfft.backbone.masked_images import encoder_class
from hfft.data.class_counts import describe_counts
from hfft.data.spec import NONE
from hfft.evaluate import score_splits
from hfft.evaluate.advice import advice
from hfft.evaluate.against_reference import against_reference
from hfft.evaluate.against_reference import in_words as compared_in_words
from hfft.evaluate.by_set import by_set
from hfft.evaluate.findings import findings
from hfft.evaluate.outputs import Outputs
from hfft.evaluate.seen import seen_line
from hfft.pipeline.build import Run, uncached
from hfft.pipeline.calibrate import in_words as calibrated_in_words
from hfft.pipeline.fit import VERSIONS, Training
from hfft.processes import by_first_process
from hfft.recipe import Recipe
from hfft.strategy.describe import describe as describe_methods
from hfft.strategy.describe import in_words
from hfft.tasks.labels import Labels
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import MaskedPatches
from hfft.train.early_stopping import stopped_early
from hfft.wording import listing


def describe(recipe: Recipe, run: Run) -> list[str]:
    """The lines that describe which model will be trained on which data."""
    sizes = ", ".join(
        f"{name} {run.splits.sizes[name] or '?'} ({origin})" for name, origin in run.splits.origin.items()
    )
    classes = f"{run.labels.size} classes" if run.labels.names else run.labels.problem
    name = recipe.backbone.name + (" (random weights)" if recipe.backbone.init == "random" else "")
    if recipe.backbone.rnn is not None:
        name = f"a new {recipe.backbone.rnn.type.upper()} on the word vectors of {name},"
    sizes += "".join(f", {name} {len(rows)} (data.sets)" for name, rows in run.trainer.sets.items())
    counts = describe_counts(run.splits.classes)
    rows = recipe.data.path
    if recipe.tasks:
        rows, classes = f"{len(recipe.tasks)} tasks", listing(map(outputs_of, run.labels.tasks), 20)
    above = [f"{recipe.name}: {name} on {rows}, {classes}", sizes]
    above += [f"rows of each class: {counts}"] if counts else []
    above += [*run.splits.notes, *run.notes, *(moved(row) for row in run.edits)]
    below = {"merged": ["saved with its adapter merged"], "adapter": ["saved as an adapter"]}.get(
        recipe.published_as or "", []
    )
    below += [f"strategy: {found}"] if (found := in_words(methods_of(run))) else []
    return [*above, *layers.format_table(run.layers), *below]


def outputs_of(task: tuple[str, Labels]) -> str:
    """What the outputs of one of several tasks are."""
    name, labels = task
    return f"{name} ({labels.size} classes)" if labels.names else f"{name} ({labels.problem})"


def methods_of(run: Run) -> list[dict[str, Any]]:
    """The methods of a run, described."""
    return describe_methods(run.trainer.methods, run.trainer.model)


def opening(training: Training) -> list[str]:
    """The lines that a run prints before its first step."""
    recipe = training.recipe
    asked = recipe.layers.cache != "off" and recipe.train_layers != ["all"]
    why = uncached(recipe) if asked else None
    return describe(recipe, training.run) + ([] if why is None else [f"cache: off, {why}"])


def moved(edit: dict[str, Any]) -> str:
    """Describe in one line how an edit changed the pretrained model."""
    share = edit["moved"]
    said = (
        "outputs not compared"
        if share is None
        else f"outputs moved by {share:.1%}"
        if share > 1e-6
        else "outputs unchanged"
    )
    return f"edit: {edit['edit']}  ({edit['places']} place{'s' if edit['places'] != 1 else ''}, {said})"


def collect(training: Training) -> dict[str, Any]:
    """Score the held-out splits, and collect the contents of metrics.json; each of several tasks is scored by itself later."""
    recipe, run = training.recipe, training.run
    limit, scores = recipe.score.outputs_limit, dict[str, Any]()
    if not recipe.tasks:
        scores = score_splits(run.trainer, run.prepared, run.metrics, run.splits.origin, training.folder.outputs, limit)
    state = run.trainer.state
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    compared = against_reference(run.trainer, dict(run.prepared.items()))
    sets = {name: len(rows) for name, rows in run.trainer.sets.items()}
    known = facts(recipe, run.splits, run.labels, run.commit)
    apart = {} if recipe.tasks else by_set(recipe.data, run.splits, scores, training.folder.outputs, run.metrics.names)
    return {
        **{name: score["metrics"] for name, score in scores.items()},
        "train": {
            "loss": losses[-1] if losses else None,
            "n": run.splits.sizes["train"],
            "epochs": state.epoch,
            "steps": state.global_step,
            "skipped_steps": run.trainer.finite_check.skipped,
            "micro_batch": run.trainer.args.per_device_train_batch_size,
            **({"stopped": stop} if (stop := stopped_early(run.trainer)) else {}),
            "seconds": round(time.perf_counter() - training.started, 2),
        },
        "classes": {name: {k: v for k, v in score.items() if k != "metrics"} for name, score in scores.items()},
        "findings": look_at(training, scores),
        "advice": advised(training),
        **known,
        "data": {**known["data"], "sets": sets, "unread": unread(recipe, run.splits, sets)},
        **({"stock_loads": stock_loads(run)} if recipe.published_as == "adapter" else {}),
        **({"edits": run.edits} if run.edits else {}),
        **({"encoder": encoder_class(run.trainer.model.config)} if recipe.problem == MaskedPatches.name else {}),
        **({"by_set": apart} if apart else {}),
        "strategy": methods_of(run),
        **({"compared": compared} if compared else {}),
        "world_size": run.trainer.args.world_size,
        "frozen": training.frozen,
        "faults": training.faults,
        "cache": run.trainer.cache_report,
    }


def facts(recipe: Recipe, splits: data.Splits, labels: Labels, commit: str | None) -> dict[str, Any]:
    """What metrics.json says of any run: its recipe, model, data and versions.

    Args:
        commit: the commit of the model; None if it is not from the hub.
    """
    return {
        "recipe": recipe.name,
        "task": recipe.task,
        "problem": recipe.problem,
        "labels": list(labels.names),
        "seed": recipe.seed,
        "backbone": {
            "name": recipe.backbone.name,
            "revision": commit,
            "init": recipe.backbone.init,
            **({} if recipe.backbone.rnn is None else {"rnn": recipe.backbone.rnn.type}),
        },
        "data": {
            "path": recipe.data.path
            if not recipe.tasks
            else listing(dict.fromkeys(one.data.path for one in recipe.tasks)),
            "revision": splits.revision,
            "origin": splits.origin,
            "sizes": splits.sizes,
            "skipped": splits.skipped,
            "leaked": splits.leaked,
            "wrong_labels": splits.wrong_labels,
            "classes": splits.classes,
            "columns": splits.columns,
            "sets": {},
        },
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }


def unread(recipe: Recipe, splits: Any, sets: Mapping[str, int]) -> dict[str, int]:
    """Split or set -> number of its rows, for those whose labels, if there are any, the training did not read."""
    found = {"train": splits.sizes["train"]} if recipe.data.labels == NONE else {}
    return found | {name: count for name, count in sets.items() if recipe.data.sets[name].labels == NONE}


@by_first_process
def look_at(training: Training, scores: dict[str, Any]) -> list[str]:
    """What the figures do not say by themselves, from the tables of classes and the stored outputs."""
    recipe, constants = training.recipe, dict[str, float]()
    for name in scores if recipe.problem == "regression" else ():
        file = training.folder.outputs / f"{name}.safetensors"
        constant = Outputs.read(file).constant() if file.is_file() else None
        constants |= {} if constant is None else {name: constant}
    counts, weighted = training.run.splits.classes.get("train", {}), recipe.strategy.class_weights is not None
    return findings(scores, recipe.problem, counts, weighted, constants)


def advised(training: Training) -> list[str]:
    """What the losses of the training suggest."""
    trainer, recipe = training.run.trainer, training.recipe
    metric = next(iter(training.run.metrics.scored), None)
    given = [f"{name}.{key}" for name in ("data", "layers", "strategy") for key in getattr(recipe, name).changed()]
    given += ["strategy.mixup"] if recipe.tasks else []  # which mixes no rows of several tasks
    return advice(
        trainer.state.log_history, metric, recipe.the_task.modality.name, trainer.args.load_best_model_at_end, given
    )


def stock_loads(run: Run) -> bool:
    """Whether plain transformers can load the run's adapter; otherwise only PEFT can."""
    return publish.stands_alone(run.trainer.accelerator.unwrap_model(run.trainer.model).peft_config["default"])


def task_lines(name: str, found: Mapping[str, Any], seed: int) -> list[str]:
    """The lines of one of several tasks: its metrics, and what sharing the backbone changed."""
    lines = []
    for split in ("validation", "test"):
        if split not in found:
            continue
        shown = " ".join(f"{metric} {found[split][metric]:.4f}" for metric in metric_names(found[split]))
        lines.append(f"{name}: {split} {shown}  (n={found[split]['n']}, seed {seed})")
        beside = found.get("single_task", {}).get(split, {})
        if "why" in beside:
            lines.append(f"{name}: {split} is not compared with the task by itself: {beside['why']}")
        elif beside:
            lines.append(
                f"{name}: {split} {in_interval(beside)} beside the task by itself ({beside['what']} {beside['single']:.4f})"
            )
    return lines


def in_interval(beside: Mapping[str, Any]) -> str:
    """A difference with its interval, in words."""
    difference = beside["difference"]
    interval = f" [{difference['low']:+.4f}, {difference['high']:+.4f}]" if difference.get("low") is not None else ""
    return f"{difference['value']:+.4f}{interval} in {beside['what']}"


def summary(recipe: Recipe, folder: Path, metrics: dict[str, Any]) -> list[str]:
    """The lines that a run prints at the end: each metric with its split, size and seed, and what they do not say."""
    lines = [line for name, one in metrics.get("tasks", {}).items() for line in task_lines(name, one, metrics["seed"])]
    for split in ("validation", "test"):
        if split in metrics and "tasks" not in metrics:
            shown = " ".join(f"{name} {metrics[split][name]:.4f}" for name in metric_names(metrics[split]))
            lines.append(f"{split} {shown}  (n={metrics[split]['n']}, seed {metrics['seed']})")
            if leaked := metrics.get("data", {}).get("leaked", {}).get(split):
                lines.append(seen_line(split, leaked, metrics[split]["n"]))
            for name, found in metrics.get("by_set", {}).get(split, {}).items():
                shown = " ".join(f"{metric} {found[metric]:.4f}" for metric in metric_names(found))
                lines.append(f"  of {name}: {shown}  (n={found['n']})")
    if stop := metrics.get("train", {}).get("stopped"):
        lines.append(f"stopped early: {stop['why']}")
    for split, found in metrics.get("from_scratch", {}).items():
        shown = " ".join(f"{name} {found[name]:.4f}" for name in metric_names(found))
        lines.append(f"{split} {shown}  from random weights (n={found['n']}, seed {metrics['seed']})")
    lines += calibrated_in_words(metrics["calibrated"]) if "calibrated" in metrics else []
    lines += [compared_in_words(name, found) for name, found in metrics.get("compared", {}).items()]
    lines += metrics.get("findings", [])
    lines += [f"WRONG: {fault}" for fault in metrics.get("faults", [])]
    return [*lines, f"run folder: {folder}"]
