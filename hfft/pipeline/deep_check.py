"""Before training: show what a run would train, and prove that it will finish."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from hfft import publish
from hfft.backbone import published_code
from hfft.console import quiet_libraries
from hfft.errors import BadInput, RunError
from hfft.frozen_cache.describe import describe_ahead
from hfft.pipeline import uses
from hfft.pipeline.build import Run, build_run, uncached
from hfft.pipeline.fit import fit
from hfft.pipeline.record import describe
from hfft.pipeline.save import save_model
from hfft.predict.predictor import load_predictor
from hfft.publish.adapter import stands_alone
from hfft.recipe import Recipe, yaml_lines
from hfft.recipe.uses import DEFAULT
from hfft.runs import RunFolder
from hfft.strategy import logits_of
from hfft.train import training_arguments
from hfft.train.arguments import describe_open
from hfft.train.callbacks import EpochLine
from hfft.wording import first_line, listing


def show(recipe: Recipe) -> list[str]:
    """The lines that show what a run of the recipe would train on which data, layer by layer."""
    quiet_libraries()
    if recipe.use != DEFAULT:
        return list(uses.of(recipe.use).check(recipe))
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(recipe, output_dir=folder, report_to="none")
        run = build_run(recipe, arguments)
        last = run.trainer.last_block.describe_ahead(run.trainer)
        why = uncached(recipe)
        kept = describe_ahead(run.trainer, logits_of) if why is None else f"cache: off, {why}"
        open_ = yaml_lines.dump(describe_open(recipe.training, recipe.backbone.memory_format, run.trainer))
        title = "# left open by the recipe, with the values on this machine"
        return [*describe(recipe, run), last, kept, "", title, *open_.split("\n")]


def check(recipe: Recipe) -> Iterator[str]:
    """Prove that a run will finish: try each stage once with the real data and model, and report each in one line.

    Raises:
        BadInput, RunError: the first stage that fails.
    """
    quiet_libraries()
    probe = RunFolder(recipe.output_dir)
    made = [path for path in (probe.path, *probe.path.parents) if not path.exists()]
    probe.writable()
    earlier = ""
    try:
        probe.open(recipe.resolved(), fresh=False)
    except BadInput as error:
        if probe.state() == "new" or not probe.changed(recipe.resolved()):
            raise
        earlier = f"; {error}"  # nothing that this check could not go on with
    for path in made:  # a check leaves nothing behind
        path.rmdir()
    yield f"run folder: {probe.path} can be written{earlier}"
    if recipe.publish.hub_model_id:
        publish.check_permission(recipe.publish)
        yield f"hub: {recipe.publish.hub_model_id} can be pushed"
    if recipe.use != DEFAULT:
        yield from uses.of(recipe.use).check(recipe)
        return
    once: dict[str, Any] = {"max_steps": 1, "save_strategy": "no", "report_to": "none", "load_best_model_at_end": False}
    with tempfile.TemporaryDirectory() as folder:
        run = build_run(recipe, training_arguments(recipe, output_dir=folder, eval_strategy="no", **once))
        sizes = ", ".join(f"{name} {size or '?'}" for name, size in run.splits.sizes.items())
        yield f"data: {sizes}; columns {', '.join(run.splits.columns.values())}; {run.labels.size} outputs"
        yield from run.splits.notes
        yield f"model: {sum(p.numel() for p in run.trainer.model.parameters()):,} parameters, every backbone weight there"
        run.trainer.remove_callback(EpochLine)
        fit(run.trainer, None)
        yield "training: one step done"
        few = [next(iter(rows)) for _, rows in run.prepared.items()][:1] * 2
        if few:
            run.trainer.evaluate(few)
            yield f"evaluation: one step done, metrics {listing(run.metrics.scored, 20)}"
        batch = run.prepared.collate([next(iter(run.prepared.train))] * 2)
        yield reload_check(run, recipe, Path(folder) / "model", batch)


def reload_check(run: Run, recipe: Recipe, folder: Path, batch: dict[str, Any]) -> str:
    """Save the model, load it with plain transformers, and compare the outputs.

    Raises:
        RunError: they differ.
    """
    inputs = {key: value for key, value in run.trainer._prepare_inputs(batch).items() if key != "labels"}
    model = run.trainer.accelerator.unwrap_model(run.trainer.model).eval()
    precision = (
        run.trainer.accelerator.autocast
    )  # the same for both: the prepared model computes only in that of the run
    with torch.no_grad(), precision():
        before = logits_of(model(**inputs)).float().cpu()
    save_model(run, run.trainer.whole_model(), recipe, folder)
    as_adapter, auto_class = recipe.published_as == "adapter", recipe.the_task.auto_class_of(model.config)
    try:
        if as_adapter and not stands_alone(model.peft_config["default"]):
            again = load_predictor(str(folder)).model
        elif (config := published_code.stock_config(str(folder))) is not None:
            again = published_code.load(str(folder), config, auto_class, dtype=model.dtype)
        else:
            again = getattr(transformers, auto_class).from_pretrained(folder, dtype=model.dtype)
        with torch.no_grad(), precision():
            after = logits_of(again.eval().to(run.trainer.args.device)(**inputs)).float().cpu()
        worst = (before - after).abs().max().item()
        why = f"logits differ by {worst:.3g}"
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        if not as_adapter:
            raise
        worst, why = float("nan"), first_line(error)
    if not worst <= 1e-4 and as_adapter:
        raise RunError(
            f"publish.as: transformers does not load this adapter onto {model.config.model_type} as it was trained "
            f"({why}); use publish.as=merged"
        )
    if not worst <= 1e-4:
        raise RunError(f"the saved and reloaded model gives other outputs (logits differ by {worst:.3g})")
    return "save and reload: the same outputs"
