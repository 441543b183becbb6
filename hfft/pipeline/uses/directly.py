"""`use: directly`: score a pretrained model as it is, with its own head or zero-shot; nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor
from transformers import TrainingArguments

from hfft import backbone, data, direct, publish
from hfft.backbone.spec import Backbone
from hfft.data.audit import OPTIMISTIC
from hfft.data.class_counts import describe_counts
from hfft.data.modality.base import Rows
from hfft.direct import Answering
from hfft.errors import BadInput
from hfft.evaluate import check_files, check_further
from hfft.pipeline.model_check import check_inputs
from hfft.pipeline.save import prove_answers
from hfft.pipeline.uses import common
from hfft.predict import Predictor
from hfft.predict.held_out import HeldOut
from hfft.processes import by_first_process, say
from hfft.publish import reload
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.tasks.labels import Labels
from hfft.train.device import lay_out

REMEDY = "use=fine-tune or use=classifier would learn the classes from train"


@by_first_process
def run(recipe: Recipe, arguments: TrainingArguments, folder: RunFolder) -> dict[str, Any]:
    """Score the model on the held-out splits and save it; returns the contents of metrics.json.

    With several processes, the first one does it and the others wait.

    Raises:
        BadInput: the data or the model cannot be used as the recipe says.
        RunError: the model cannot be saved, or answers otherwise once it is loaded again.
    """
    began = time.perf_counter()
    given, recipe = recipe, common.pinned(recipe, folder)
    spec, splits, labels, made = built(recipe, arguments.device)
    common.begin(given, folder, splits, spec.revision)
    say(*describe(recipe, splits, labels, made))
    predictor = Predictor(made.model, made.processor, recipe.the_task.modality, made.hypotheses)
    held = HeldOut.of(predictor, splits.columns, labels, recipe.backbone.name)

    def answer(rows: Rows) -> Iterator[tuple[Tensor, Tensor]]:
        return held.answers(rows, arguments.per_device_eval_batch_size)

    scores = common.score(recipe, folder, splits, labels, answer)
    common.save(folder, made.save)
    inputs = reload.sample_inputs(splits, recipe.the_task, reload.sampled_split(splits))
    prove_answers(recipe, arguments, folder, reload.Sample(inputs, predictor(inputs)))
    use = {"name": recipe.use, "how": made.how, "plain": made.plain, "notes": made.notes, "classes": made.stands_for}
    return common.metrics_of(recipe, splits, labels, spec.revision, scores, began, REMEDY, use=use)


def built(recipe: Recipe, device: Any) -> tuple[Backbone, data.Splits, Labels, Answering]:
    """The model at its commit, the data, its classes, and the model as it answers for them.

    Raises:
        BadInput: the data or the model cannot be used as the recipe says.
    """
    if recipe.publish.hub_model_id:
        publish.check_permission(recipe.publish)
    check_files(recipe.metrics)
    task, spec = recipe.the_task, backbone.pinned(recipe.backbone)
    backbone.load_published_config(spec)  # a name that does not exist is refused before the data is read
    splits, labels = data.load_splits(recipe.data, task, recipe.seed)
    check_further(recipe.score, splits)
    # nothing is learned from train, so rows that are in it as well flatter nobody
    splits = replace(splits, leaked={}, notes=tuple(note for note in splits.notes if OPTIMISTIC not in note))
    made = direct.answering(spec, recipe.head, task, labels, recipe.data.max_length, device)
    if made.hypotheses and "text_pair" in splits.columns:
        raise BadInput(
            f"data.columns.text_pair: {recipe.backbone.name} compares one text with a sentence about each class; leave it out"
        )
    check_inputs(getattr(made.model, "inner", made.model), made.processor, task)
    lay_out(made.model)
    return spec, splits, labels, made


def describe(recipe: Recipe, splits: data.Splits, labels: Labels, made: Answering) -> list[str]:
    """The lines that say which model answers how, for which classes of which data."""
    sizes = ", ".join(f"{name} {splits.sizes[name] or '?'} ({origin})" for name, origin in splits.origin.items())
    classes = f"{labels.size} classes" if labels.names else labels.problem
    counts = describe_counts(splits.classes)
    lines = [f"{recipe.name}: {recipe.backbone.name} on {recipe.data.path}, {classes}", sizes]
    lines += [f"rows of each class: {counts}"] if counts else []
    return [*lines, *splits.notes, f"nothing is trained: the model answers {made.how}", *made.notes]


def check(recipe: Recipe) -> Iterator[str]:
    """Build what a run would score, and answer a few rows with it, line by line.

    Raises:
        BadInput: the first thing that cannot be used.
    """
    _, splits, labels, made = built(recipe, "cpu")
    yield from describe(recipe, splits, labels, made)
    predictor = Predictor(made.model, made.processor, recipe.the_task.modality, made.hypotheses)
    split = reload.sampled_split(splits)
    few = reload.sample_inputs(splits, recipe.the_task, split)
    yield f"{split}: the first {len(few)} rows answered, {predictor(few).shape[1]} outputs each"
