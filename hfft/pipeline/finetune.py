"""A fine-tune from recipe to published model: assemble, train, score, publish."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn
from transformers import TrainingArguments

from hfft import layers, publish, report
from hfft.backbone import published_code
from hfft.console import on_main, quiet_libraries, say
from hfft.errors import RunError
from hfft.evaluate import score_splits
from hfft.pipeline.build import Run, uncached
from hfft.pipeline.fit import VERSIONS, Training
from hfft.recipe import Recipe
from hfft.runs import RunFolder, checkpoint
from hfft.runs.folder import State
from hfft.runs.lock import lock_folder
from hfft.runs.signals import Stopped
from hfft.train import distributed, training_arguments
from hfft.train.sanity_check import faults, head_weights
from hfft.train.step_loss import uniform_guess
from hfft.wording import first_line


@dataclass(frozen=True)
class Result:
    """What a fine-tune ends with.

    Attributes:
        folder: the run folder; `folder / "model"` is what transformers loads.
        metrics: split -> figure -> value, as in metrics.json.
        url: where the model was published, if it was.
    """

    folder: Path
    metrics: dict[str, Any]
    url: str | None = None

    @property
    def model(self) -> Path:
        """The folder of the finished model."""
        return self.folder / "model"


def finetune(recipe: Recipe, fresh: bool = False, force: bool = False) -> Result:
    """Train, score and, if the recipe says so, publish; an unfinished run of the same recipe is continued.

    Args:
        fresh: begin anew where the run folder already holds a run.
        force: continue an unfinished run under another recipe, other data or other versions.

    Raises:
        BadInput: recipe, data, model or folder cannot be used; nothing has been trained.
        RunError, HubError: training or publishing failed; what was finished is kept.
    """
    quiet_libraries()
    arguments = training_arguments(recipe)
    folder = RunFolder(recipe.output_dir)
    with contextlib.ExitStack() as held:
        on_main(arguments, held.enter_context, lock_folder(folder.path))
        state = on_main(arguments, folder.open, recipe, fresh, force)
        if distributed.own_disks(arguments, folder):
            distributed.begin(arguments, folder, state, fresh, held)
        if state == "finished":
            return again(recipe, arguments, folder)
        return to_its_end(recipe, arguments, folder, state, fresh, force)


def again(recipe: Recipe, arguments: TrainingArguments, folder: RunFolder) -> Result:
    """What the same command does on a finished run: tell its figures, and push what was to be pushed and was not."""
    figures = on_main(arguments, read_metrics, folder)  # another host may see another disk
    say(arguments, f"{folder.path} is finished; add --fresh to run it again\n{summary(recipe, folder, figures)}")
    if recipe.publish.hub_model_id is None:
        return Result(folder.path, figures)
    url = on_main(arguments, folder.published_at, recipe.publish.hub_model_id)
    if url is None:
        say(arguments, f"it was not published to {recipe.publish.hub_model_id}; that is done now")
        url = published(arguments, folder, recipe)
    say(arguments, f"published: {url}")
    return Result(folder.path, figures, url)


def to_its_end(
    recipe: Recipe, arguments: TrainingArguments, folder: RunFolder, state: State, fresh: bool, force: bool
) -> Result:
    """Train a run that is new or unfinished, score it, and publish it if its recipe says so."""
    given, changed = recipe, state == "unfinished" and on_main(arguments, folder.changed, recipe)
    if state == "unfinished":
        recipe = on_main(arguments, folder.pinned, recipe)  # the same, with the commits the run began with
    if recipe.publish.hub_model_id:
        on_main(arguments, publish.check_permission, recipe.publish)
    training = Training(recipe, arguments, folder, force)
    run = training.run
    if state == "new" or changed:
        on_main(arguments, folder.write_recipe, given, run.commit, run.splits.revision, run.adapter_commit)
    on_main(arguments, folder.write_json, "layers.json", run.layers)
    say(arguments, describe(recipe, run))
    if recipe.layers.cache != "off" and recipe.train_layers != ["all"] and (why := uncached(recipe)):
        say(arguments, f"cache: off, {why}")

    started = time.perf_counter()
    if training.checkpoint is not None:
        say(arguments, f"continuing from {training.checkpoint}")
    before = layers.frozen_digests(run.trainer.model, run.trainer.live_norms)
    head = head_weights(run.trainer.model, run.trainer.depths)
    del run
    training.finish()
    run = training.run
    with run.trainer.scored():
        model = run.trainer.whole_model()
        frozen = {"tensors": len(before), "moved": on_main(arguments, layers.moved, model, before)}
        if live := len(layers.frozen_tensors(run.trainer.model)) - len(before):
            frozen["live"] = live
        if run.trainer.follow is not None:
            frozen |= {"waited": run.trainer.follow.waited, "early": run.trainer.follow.early}
        wrong = on_main(arguments, what_went_wrong, recipe, run, model, head)
        scores = score_splits(run.trainer, run.prepared, run.metrics)
        run.trainer.accelerator.wait_for_everyone()
        on_main(arguments, save_model, run, model, recipe, folder.model)
    figures = {
        **collect(recipe, run, scores, time.perf_counter() - started),
        "frozen": frozen,
        "faults": wrong,
        "cache": run.trainer.cache_report,
    }
    if (folder.model / f"{published_code.FILE}.py").is_file():
        figures["own_code"] = f"{published_code.FILE}.py"
    if recipe.score.from_scratch and recipe.backbone.init == "pretrained":
        figures["from_scratch"] = from_scratch(recipe, arguments, fresh, force)
    on_main(arguments, finish, recipe, run, folder, figures)
    say(arguments, summary(recipe, folder, figures))
    url = published(arguments, folder, recipe) if recipe.publish.hub_model_id else None
    if url:
        say(arguments, f"published: {url}")
    return Result(folder.path, figures, url)


def published(arguments: TrainingArguments, folder: RunFolder, recipe: Recipe) -> str:
    """Push the finished run; its address."""
    try:
        return on_main(arguments, publish.publish, folder, recipe.publish)
    except Stopped as stop:
        told = f"the run is finished and was not published; push it with `hfft publish {folder.path}`"
        raise Stopped(stop.number, told) from None


def save_model(run: Run, model: Any, recipe: Recipe, folder: Path) -> None:
    """Write what gets published: weights, config and processor, loadable without hfft; whole or not at all."""
    aside = folder.with_name(f".{folder.name}")
    for old in (aside, folder):
        shutil.rmtree(old, ignore_errors=True)
    if recipe.published_as == "adapter":
        at = recipe.model_copy(
            update={"backbone": recipe.backbone.model_copy(update={"revision": run.commit or recipe.backbone.revision})}
        )
        publish.save_adapter(model, at, run.labels, run.processor, aside)
        os.replace(aside, folder)
        return
    if recipe.layers.adapter:
        model = layers.merged(model)
    model.config.use_cache = True
    try:
        published_code.save(model, aside, recipe.the_task.auto_class)
        run.processor.save_pretrained(aside)
        for path in aside.iterdir():
            checkpoint.sync(path)
        os.replace(aside, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise RunError(
            f"the model could not be written to {folder}: {first_line(error)}; the last checkpoint is kept, and the same "
            f"command continues from it"
        ) from error


def collect(recipe: Recipe, run: Run, scores: dict[str, dict[str, Any]], seconds: float) -> dict[str, Any]:
    """What metrics.json holds."""
    state = run.trainer.state
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    return {
        **{name: score["figures"] for name, score in scores.items()},
        "train": {
            "loss": losses[-1] if losses else None,
            "n": run.splits.sizes["train"],
            "epochs": state.epoch,
            "steps": state.global_step,
            "skipped_steps": run.trainer.watch.skipped,
            "micro_batch": run.trainer.args.per_device_train_batch_size,
            "seconds": round(seconds, 2),
        },
        "classes": {name: {k: v for k, v in score.items() if k != "figures"} for name, score in scores.items()},
        "recipe": recipe.name,
        "task": recipe.task,
        "problem": recipe.problem,
        "labels": list(run.labels.names),
        "seed": run.trainer.args.seed,
        "backbone": {"name": recipe.backbone.name, "revision": run.commit, "init": recipe.backbone.init},
        "data": {
            "path": recipe.data.path,
            "revision": run.splits.revision,
            "origin": run.splits.origin,
            "sizes": run.splits.sizes,
            "skipped": run.splits.skipped,
            "leaked": run.splits.leaked,
        },
        **({"stock_loads": stock_loads(run)} if recipe.published_as == "adapter" else {}),
        **({"edits": run.edits} if run.edits else {}),
        "world_size": run.trainer.args.world_size,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }


def stock_loads(run: Run) -> bool:
    """Whether plain transformers puts the run's adapter back; else PEFT alone does."""
    return publish.stands_alone(run.trainer.accelerator.unwrap_model(run.trainer.model).peft_config["default"])


def what_went_wrong(recipe: Recipe, run: Run, model: nn.Module, head: dict[str, Any]) -> list[str]:
    """The faults of a training that came to its end, a line each; most have none."""
    state, trainer = run.trainer.state, run.trainer
    wrapping = trainer.steps.of["example_loss"]
    guess = uniform_guess(trainer.problem, wrapping, trainer.setting.class_ids, run.labels.size, trainer.at())
    return faults(state.log_history, guess, trainer.term_log.names, head, model, state.global_step)


def from_scratch(recipe: Recipe, arguments: TrainingArguments, fresh: bool, force: bool) -> dict[str, Any]:
    """The figures of the same recipe from random weights, everything learning: what pretraining was worth."""
    say(arguments, "\nthe same recipe from random weights:")
    values = recipe.resolved()
    values["backbone"] = {**values["backbone"], "init": "random"}
    values["layers"] = {"train": "all"}
    values["score"] = {**values["score"], "from_scratch": False}
    values["publish"] = {}
    values["training"] = {**values["training"], "output_dir": str(recipe.output_dir / "from_scratch")}
    result = finetune(Recipe.model_validate(values), fresh=fresh, force=force)
    return {name: result.metrics[name] for name in ("validation", "test") if name in result.metrics}


def finish(recipe: Recipe, run: Run, folder: RunFolder, figures: dict[str, Any]) -> None:
    """Write the report, the card and, last, metrics.json, which says that the run is finished."""
    run.trainer.save_state()
    publish.write_card(folder, recipe, figures)
    report.write_report(folder, figures)
    folder.write_json("metrics.json", figures)


def describe(recipe: Recipe, run: Run) -> str:
    """What is about to be trained on what: told before the first step."""
    sizes = ", ".join(
        f"{name} {run.splits.sizes[name] or '?'} ({origin})" for name, origin in run.splits.origin.items()
    )
    classes = f"{run.labels.size} classes" if run.labels.names else run.labels.problem
    name = recipe.backbone.name + (" (random weights)" if recipe.backbone.init == "random" else "")
    notes = "".join(f"\n{note}" for note in run.splits.notes)
    notes += "".join(f"\n{moved(row)}" for row in run.edits)
    leaves = {"merged": "\nsaved with its adapter merged", "adapter": "\nsaved as an adapter"}.get(
        recipe.published_as or "", ""
    )
    table = layers.format_table(run.layers)
    return f"{recipe.name}: {name} on {recipe.data.path}, {classes}\n{sizes}{notes}\n{table}{leaves}"


def moved(edit: dict[str, Any]) -> str:
    """What an edit did to the pretrained model, in one line."""
    share = edit["moved"]
    said = (
        "outputs not compared"
        if share is None
        else f"outputs moved by {share:.1%}"
        if share > 1e-6
        else "outputs unchanged"
    )
    return f"edit: {edit['edit']}  ({edit['places']} place{'s' if edit['places'] != 1 else ''}, {said})"


def summary(recipe: Recipe, folder: RunFolder, figures: dict[str, Any]) -> str:
    """The closing lines: each figure with its split, size and seed."""
    lines = []
    for split in ("validation", "test"):
        if split in figures:
            shown = " ".join(f"{name} {figures[split][name]:.4f}" for name in recipe.metrics)
            lines.append(f"{split} {shown}  (n={figures[split]['n']}, seed {figures['seed']})")
    for split, found in figures.get("from_scratch", {}).items():
        shown = " ".join(f"{name} {found[name]:.4f}" for name in recipe.metrics)
        lines.append(f"{split} {shown}  from random weights (n={found['n']}, seed {figures['seed']})")
    lines += [f"WRONG: {fault}" for fault in figures.get("faults", [])]
    return "\n".join([*lines, f"run folder: {folder.path}"])


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """metrics.json of a finished run."""
    return json.loads(folder.metrics.read_text(encoding="utf-8"))
