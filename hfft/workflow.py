"""A fine-tune from recipe to published model: the five parts assembled, then train, score, publish."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments, set_seed

from hfft import backbone, data, head, layers, publish, strategy
from hfft.data.inputs import max_length
from hfft.errors import BadInput, DataError, HfftError, RunError, first_line
from hfft.head.renew import rows as head_rows
from hfft.recipe import Recipe, load_recipe
from hfft.score import Metrics, score_splits
from hfft.tasks import SMALLER_IS_BETTER, Labels
from hfft.train import FineTuner, RunFolder, training_arguments
from hfft.train.trainer import EpochLine


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


@dataclass
class Run:
    """The five parts, assembled and ready to train."""

    trainer: FineTuner
    prepared: data.Prepared
    splits: data.Splits
    labels: Labels
    metrics: Metrics
    processor: Any
    layers: list[dict[str, Any]]
    commit: str | None


def finetune(recipe: Recipe, fresh: bool = False) -> Result:
    """Train, score and, if the recipe says so, publish; an unfinished run of the same recipe is continued.

    Args:
        fresh: begin anew where the run folder already holds a run.

    Raises:
        BadInput: recipe, data, model or folder cannot be used; nothing has been trained.
        RunError, HubError: training or publishing failed; what was finished is kept.
    """
    quiet_libraries()
    arguments = training_arguments(recipe)
    folder = RunFolder(recipe.output_dir)
    state = on_main(arguments, folder.open, recipe, fresh)
    if state == "finished":
        say(arguments, f"{folder.path} is finished; add --fresh to run it again\n{summary(recipe, folder)}")
        return Result(folder.path, read_metrics(folder))
    if state == "unfinished":
        recipe = load_recipe(folder.recipe)  # the same, with the commits the run began with
    if recipe.publish.hub_model_id:
        on_main(arguments, publish.check_permission, recipe.publish)

    run = assemble(recipe, arguments)
    if state == "new":
        on_main(arguments, folder.write_recipe, recipe, run.commit, run.splits.revision)
    on_main(arguments, folder.write_json, "layers.json", run.layers)
    say(arguments, describe(recipe, run))

    started = time.perf_counter()
    checkpoint = folder.checkpoint()
    if checkpoint is not None:
        say(arguments, f"continuing from {checkpoint}")
    fit(run.trainer, checkpoint)
    scores = score_splits(run.trainer, run.prepared, run.metrics)
    run.trainer.accelerator.wait_for_everyone()

    on_main(arguments, save_model, run, recipe, folder.model)
    figures = collect(recipe, run, scores, time.perf_counter() - started)
    if recipe.score.from_scratch and recipe.backbone.init == "pretrained":
        figures["from_scratch"] = from_scratch(recipe, arguments, fresh)
    on_main(arguments, finish, recipe, run, folder, figures)
    say(arguments, summary(recipe, folder))
    url = on_main(arguments, publish.publish, folder, recipe.publish) if recipe.publish.hub_model_id else None
    if url:
        say(arguments, f"published: {url}")
    return Result(folder.path, figures, url)


def assemble(recipe: Recipe, arguments: TrainingArguments) -> Run:
    """The way of data: from the recipe's five parts to a Trainer that is ready to train.

    Raises:
        BadInput: data or model cannot be used as the recipe says.
    """
    recipe = recipe.model_copy(update={"backbone": backbone.pinned(recipe.backbone)})
    with arguments.main_process_first(local=True, desc="data"):
        splits, labels = data.load_splits(recipe)  # 5
    processor = backbone.load_processor(recipe.backbone, recipe.the_task)
    set_seed(arguments.seed)
    model = backbone.load_model(recipe, labels, processor)  # 1
    head_names = head.parameter_names(model, recipe.head.new)
    if recipe.the_task.labelled:
        set_seed(arguments.seed)  # the head is the same whatever was drawn while loading
        head.replace(model, recipe.head, pretrained_rows(recipe))  # 2
    depths = layers.depths(model, head_names)  # 3
    model = layers.adapt(model, recipe.train_layers, recipe.layers.adapter, depths, head_names)
    terms = strategy.build(recipe.strategy, model, head_names)  # 4
    if recipe.the_task.modality == "text":
        processor.model_max_length = max_length(processor, model.config, recipe.data.max_length)
    with arguments.main_process_first(local=True, desc="preprocessing"):
        prepared = data.prepare(splits, recipe, labels, processor)  # 5
    metrics = Metrics(labels, recipe.metrics)
    check_schedule(arguments, splits)
    trainer = FineTuner(
        model,
        arguments,
        prepared.collate,
        prepared.train,
        prepared.validation,
        compute_metrics=metrics,
        callbacks=[EpochLine(lambda line: say(arguments, line), recipe.metrics)],
        labels=labels,
        depths=depths,
        pace={"layer_decay": recipe.layers.layer_decay, "head_lr_scale": recipe.layers.head_lr_scale},
        terms=terms,
        class_weights=class_weights(recipe, splits, labels),
    )
    table = layers.table(model, depths, trainer.groups())
    return Run(trainer, prepared, splits, labels, metrics, processor, table, recipe.backbone.revision)


def pretrained_rows(recipe: Recipe) -> dict[str, dict[str, torch.Tensor]] | None:
    """The rows of the pretrained head by class name, where the recipe keeps those of known classes."""
    if not recipe.head.keep_known:
        return None
    as_published = recipe.model_copy(update={"head": recipe.head.model_copy(update={"dropout": None})})
    config = backbone.load_published_config(recipe)
    labels = Labels.of("single_label_classification", [config.id2label[i] for i in range(config.num_labels)])
    return head_rows(backbone.load_model(as_published, labels))


def class_weights(recipe: Recipe, splits: data.Splits, labels: Labels) -> list[float] | None:
    """Factor of each class's loss, in the order of the classes; None where all count alike.

    Raises:
        BadInput: a weight for no class, a class without one, or a stream that cannot be counted.
    """
    wanted = recipe.strategy.class_weights
    if wanted is None:
        return None
    if isinstance(wanted, dict):
        if set(wanted) != set(labels.names):
            raise BadInput(f"strategy.class_weights: expected one weight for each of {', '.join(labels.names)}")
        return [wanted[name] for name in labels.names]
    if recipe.data.streaming:
        raise BadInput("strategy.class_weights: balanced needs to count the classes, which a stream does not allow")
    counts = Counter(splits.train.with_format("arrow")[:]["labels"].to_pylist())
    try:
        return strategy.balanced_weights([counts[i] for i in range(labels.size)])
    except ValueError as error:
        raise DataError(f"strategy.class_weights: {error}") from None


def check_schedule(arguments: TrainingArguments, splits: data.Splits) -> None:
    """Settle what a split that is absent or unsized means for the run.

    Raises:
        BadInput: a stream of unknown length without `max_steps`, or a best model without validation rows.
    """
    if splits.sizes["train"] is None and arguments.max_steps <= 0:
        raise BadInput(
            "data.streaming: the train split does not state its size; set training.max_steps, or data.max_train_samples"
        )
    if splits.validation is None:
        if arguments.load_best_model_at_end:
            raise BadInput("training.load_best_model_at_end: there is no validation split; name one in data.validation")
        arguments.eval_strategy = transformers.trainer_utils.IntervalStrategy.NO
    if arguments.load_best_model_at_end and arguments.metric_for_best_model:
        arguments.greater_is_better = arguments.metric_for_best_model.removeprefix("eval_") not in SMALLER_IS_BETTER


def fit(trainer: FineTuner, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint where there is one.

    Raises:
        RunError: training broke off; the last checkpoint is kept.
    """
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"out of memory: {first_line(error)}; halve training.per_device_train_batch_size and double "
            f"training.gradient_accumulation_steps, which trains the same"
        ) from error
    except OSError as error:
        raise RunError(
            f"training broke off: {first_line(error)}; the last checkpoint in {trainer.args.output_dir} is kept"
        ) from error


def save_model(run: Run, recipe: Recipe, folder: Path) -> None:
    """Write what gets published: weights, config and processor, loadable without hfft."""
    model = run.trainer.accelerator.unwrap_model(run.trainer.model)
    if recipe.layers.adapter and recipe.publish.as_ == "merged":
        model = model.merge_and_unload()
    model.config.use_cache = True
    model.save_pretrained(folder)
    run.processor.save_pretrained(folder)


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
        },
        "world_size": run.trainer.args.world_size,
        "versions": {
            name: importlib.metadata.version(name) for name in ("hfft", "torch", "transformers", "datasets", "peft")
        },
    }


def from_scratch(recipe: Recipe, arguments: TrainingArguments, fresh: bool) -> dict[str, Any]:
    """The figures of the same recipe from random weights, everything learning: what pretraining was worth."""
    say(arguments, "\nthe same recipe from random weights:")
    values = recipe.resolved()
    values["backbone"] = {**values["backbone"], "init": "random"}
    values["layers"] = {"train": "all"}
    values["score"] = {**values["score"], "from_scratch": False}
    values["publish"] = {}
    values["training"] = {**values["training"], "output_dir": str(recipe.output_dir / "from_scratch")}
    result = finetune(Recipe.model_validate(values), fresh=fresh)
    return {name: result.metrics[name] for name in ("validation", "test") if name in result.metrics}


def finish(recipe: Recipe, run: Run, folder: RunFolder, figures: dict[str, Any]) -> None:
    """Write the report, the card and, last, metrics.json, which says that the run is finished."""
    run.trainer.save_state()
    publish.write_card(folder, recipe, figures)
    publish.write_report(folder, figures)
    folder.write_json("metrics.json", figures)


# --- before training


def show(recipe: Recipe) -> str:
    """What a run of the recipe would train on what, layer by layer."""
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(recipe, output_dir=folder, report_to="none")
        return describe(recipe, assemble(recipe, arguments))


def check(recipe: Recipe) -> Iterator[str]:
    """Prove that the recipe will run to its end: each station once, on its real data and model; a line for each.

    Raises:
        BadInput, RunError: the first station that fails.
    """
    quiet_libraries()
    probe = RunFolder(recipe.output_dir)
    new = not probe.path.exists()
    probe.open(recipe, fresh=False)
    if new:
        probe.path.rmdir()
    yield f"run folder: {probe.path} can be written"
    if recipe.publish.hub_model_id:
        publish.check_permission(recipe.publish)
        yield f"hub: {recipe.publish.hub_model_id} can be pushed"
    once: dict[str, Any] = {"max_steps": 1, "save_strategy": "no", "report_to": "none", "load_best_model_at_end": False}
    with tempfile.TemporaryDirectory() as folder:
        run = assemble(recipe, training_arguments(recipe, output_dir=folder, eval_strategy="no", **once))
        sizes = ", ".join(f"{name} {size or '?'}" for name, size in run.splits.sizes.items())
        yield f"data: {sizes}; columns {', '.join(run.splits.columns.values())}; {run.labels.size} outputs"
        yield f"model: {sum(p.numel() for p in run.trainer.model.parameters()):,} parameters, every backbone weight there"
        fit(run.trainer, None)
        yield "training: one step done"
        few = [next(iter(rows)) for _, rows in run.prepared.items()][:1] * 2
        if few:
            run.trainer.evaluate(few)
            yield f"evaluation: one step done, metrics {', '.join(recipe.metrics)}"
        batch = run.prepared.collate([next(iter(run.prepared.train))] * 2)
        yield reload_check(run, recipe, Path(folder) / "model", batch)


def reload_check(run: Run, recipe: Recipe, folder: Path, batch: dict[str, Any]) -> str:
    """Save the model, load it with plain transformers, and compare the outputs.

    Raises:
        RunError: they differ.
    """
    inputs = {key: value.to(run.trainer.args.device) for key, value in batch.items() if key != "labels"}
    save_model(run, recipe, folder)
    model = run.trainer.accelerator.unwrap_model(run.trainer.model).eval()
    if recipe.layers.adapter:
        model = model.base_model.model
    again = getattr(transformers, recipe.the_task.auto_class).from_pretrained(folder, dtype=model.dtype).eval()
    with torch.inference_mode():
        before = model(**inputs).logits.float().cpu()
        after = again.to(run.trainer.args.device)(**inputs).logits.float().cpu()
    worst = (before - after).abs().max().item()
    if not worst <= 1e-4:
        raise RunError(f"the model answers otherwise once it is saved and loaded (logits differ by {worst:.3g})")
    return "save and reload: the same outputs"


# --- what is told


def describe(recipe: Recipe, run: Run) -> str:
    """What is about to be trained on what: told before the first step."""
    sizes = ", ".join(
        f"{name} {run.splits.sizes[name] or '?'} ({origin})" for name, origin in run.splits.origin.items()
    )
    classes = f"{run.labels.size} classes" if run.labels.names else run.labels.problem
    name = recipe.backbone.name + (" (random weights)" if recipe.backbone.init == "random" else "")
    notes = "".join(f"\n{note}" for note in run.splits.notes)
    return f"{recipe.name}: {name} on {recipe.data.path}, {classes}\n{sizes}{notes}\n{layers.format_table(run.layers)}"


def summary(recipe: Recipe, folder: RunFolder) -> str:
    """The closing lines: each figure with its split, size and seed."""
    figures = read_metrics(folder)
    lines = []
    for split in ("validation", "test"):
        if split in figures:
            shown = " ".join(f"{name} {figures[split][name]:.4f}" for name in recipe.metrics)
            lines.append(f"{split} {shown}  (n={figures[split]['n']}, seed {figures['seed']})")
    for split, found in figures.get("from_scratch", {}).items():
        shown = " ".join(f"{name} {found[name]:.4f}" for name in recipe.metrics)
        lines.append(f"{split} {shown}  from random weights (n={found['n']}, seed {figures['seed']})")
    return "\n".join([*lines, f"run folder: {folder.path}"])


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """metrics.json of a finished run."""
    return json.loads(folder.metrics.read_text(encoding="utf-8"))


def say(arguments: TrainingArguments, text: str) -> None:
    """Print on the first process only."""
    if arguments.process_index == 0:
        print(text, flush=True)


def on_main(arguments: TrainingArguments, action: Any, *args: Any) -> Any:
    """Do something on the first process alone; all get its result, and all raise what it raised."""
    if arguments.world_size == 1:
        return action(*args)
    outcome: list[Any] = [None, None]
    if arguments.process_index == 0:
        try:
            outcome[0] = action(*args)
        except HfftError as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def quiet_libraries() -> None:
    """Keep other libraries' chatter out of a run's output, unless their own variables ask for it."""
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        transformers.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
        datasets.disable_progress_bars()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
