"""`use: classifier`: the features of a pretrained model, a classifier of another kind fitted on them, an ordinary run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainingArguments

from hfft import backbone, classifier, data, features, publish
from hfft.backbone.pooling import fitting_pooling
from hfft.backbone.published_code import FILE
from hfft.classifier.fitting import arguments_used
from hfft.data.class_counts import describe_counts
from hfft.errors import BadInput, RunError
from hfft.evaluate import Metrics, check_files, check_further
from hfft.evaluate.splits import score_answers
from hfft.features.model import FeatureModel
from hfft.features.views import View
from hfft.pipeline import calibrate
from hfft.pipeline.save import save_whole, tolerance
from hfft.pipeline.uses import common
from hfft.pipeline.uses.write_back import save_beside, with_linear_head
from hfft.processes import by_first_process, say
from hfft.publish import reload
from hfft.recipe import Recipe
from hfft.report import write_rows
from hfft.runs import RunFolder
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import first_line

BATCH = 4096  # rows that are scored at once
SPLITS, TARGET = ("train", "validation", "test"), "target"
REMEDY = "another backbone, more rows, or use=fine-tune may help"
# What makes the weights of a classifier smaller. PCA leaves out directions in which rows hardly differ.
STEADIER = dict.fromkeys(("logistic-regression", "linear-svm"), "a smaller classifier.C")
FEWER_DIRECTIONS = "fewer directions, as by classifier.transform: [{pca: 8}],"


@dataclass(frozen=True)
class Setting:
    """Model and data of a recipe, with a pinned backbone; the model itself is loaded where it is needed.

    Attributes:
        view: which features the classifier reads.
    """

    recipe: Recipe
    processor: Any
    splits: data.Splits
    labels: Labels
    view: View

    @classmethod
    def of(cls, recipe: Recipe) -> Setting:
        """Read the data and find the pooling that fits the checkpoint; the recipe's own one is taken first."""
        if recipe.publish.hub_model_id:
            publish.check_permission(recipe.publish)
        check_files(recipe.metrics)
        recipe = recipe.model_copy(update={"backbone": backbone.pinned(recipe.backbone)})
        task = recipe.the_task
        backbone.load_published_config(
            recipe.backbone
        )  # first, so that a model that is not there is told as for any recipe
        processor = backbone.load_processor(recipe.backbone, task)
        splits, labels = data.load_splits(recipe.data, task, recipe.seed)
        check_further(recipe.score, splits)
        pooling: str | None = recipe.head.pooling
        if pooling is None:
            fitting = fitting_pooling(recipe.backbone, task)
            pooling = fitting.pooling
            splits = replace(splits, notes=(*splits.notes, fitting.line()))
        return cls(recipe, processor, splits, labels, View(pooling))

    @cached_property
    def model(self) -> FeatureModel:
        """The model that computes the features; the processor then truncates as it does for them."""
        found = FeatureModel(self.recipe, self.processor, self.labels, self.view.pooling)
        found.set_limit()
        return found


def target_rows(recipe: Recipe, found: dict[str, features.Features]) -> tuple[np.ndarray | None, str | None]:
    """Features of the rows of the target domain, and in words which they are; None if none take part.

    Raises:
        BadInput: there are none.
    """
    assert recipe.classifier is not None
    if not recipe.classifier.wants_target:
        return None, None
    if TARGET in found:
        return found[TARGET].values, f"{len(found[TARGET].values)} rows of data.sets.target"
    if "test" not in found:
        raise BadInput(
            "classifier: it compares two domains, and there are neither rows in data.sets.target nor a test split"
        )
    rows = found["test"].values
    return rows, f"the {len(rows)} test rows, without their labels, since data.sets.target is not set"


@by_first_process
def run(recipe: Recipe, arguments: TrainingArguments, folder: RunFolder) -> dict[str, Any]:
    """Compute features, fit, save, score: the contents of metrics.json of a run folder that is opened and locked.

    Raises:
        BadInput: data, model or classifier cannot be used as the recipe says; nothing was saved.
        RunError: the model cannot be written, or answers otherwise when it is loaded again.
    """
    began = time.perf_counter()
    given, recipe = recipe, common.pinned(recipe, folder)
    setting = Setting.of(recipe)
    recipe, splits = setting.recipe, setting.splits
    common.begin(given, folder, splits, recipe.backbone.revision, splits.content.get("train"))
    say(*opening(setting))
    found = features.of_recipe(recipe, (*SPLITS, TARGET), pooling=setting.view.pooling)
    computed = time.perf_counter()
    target, of_target = target_rows(recipe, found)
    if of_target is not None:
        say(f"target domain: {of_target}")
    fitted = fit(setting, found, target)
    fitted, done = calibrate.of_classifier(recipe, fitted, found.get("validation"), setting.labels)
    seconds = time.perf_counter() - computed
    if fitted.notes:
        say(*fitted.notes)
    stored = save(setting, arguments, folder, fitted, found)
    scores = score(setting, folder, fitted, found)
    about = describe(recipe, setting.view, fitted) | {
        "target": of_target,
        "stored": stored,
        "feature_seconds": round(computed - began, 3),
        "seconds": round(seconds, 3),
    }
    return common.metrics_of(
        given,
        splits,
        setting.labels,
        recipe.backbone.revision,
        scores,
        began,
        REMEDY,
        use=use_of(recipe, about, list(fitted.notes)),
        classifier=about,
        **calibrate.described(done, folder, scores),
        **({"own_code": f"{FILE}.py"} if (folder.model / f"{FILE}.py").is_file() else {}),
        **({"stock_loads": False} if stored == "beside" else {}),
    )


def describe(recipe: Recipe, view: View, fitted: classifier.Fitted) -> dict[str, Any]:
    """What metrics.json says of the classifier."""
    spec = recipe.classifier
    assert spec is not None
    return {
        "type": spec.type,
        "arguments": dict(arguments_used(spec, fitted)),
        "transform": list(spec.transform),
        "pooling": view.pooling,
        "features": fitted.width,
        "chosen": fitted.chosen,
    }


def use_of(recipe: Recipe, about: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """How report and card say it: what was made, how it answers, where the classifier is."""
    arguments = "".join(f", {key} {value:.4g}" if isinstance(value, float) else f", {key} {value}"
                        for key, value in about["arguments"].items())  # fmt: skip
    steps = [step if isinstance(step, str) else " ".join(map(str, *step.items())) for step in about["transform"]]
    before = f" behind {' and '.join(steps)}" if steps else ""
    where = "its head" if about["stored"] == "head" else "stored beside it"
    how = (
        f"by {about['type']}{arguments}{before}, on {about['features']} features (pooling {about['pooling']}), {where}"
    )
    target = [f"target domain: {about['target']}"] if about["target"] else []
    beside = (
        "Plain transformers loads the features model (`AutoModel`); the classifier stands beside it in `classifier.json` and "
        "`classifier.safetensors`, and `hfft predict` applies both"
    )
    return {
        "name": recipe.use,
        "made": "as it is, with a classifier fitted on its features of",
        "how": how,
        "plain": about["stored"] == "head",
        "notes": [*target, *notes],
        "classes": {},
        **({"files": beside} if about["stored"] == "beside" else {}),
    }


def opening(setting: Setting) -> list[str]:
    """The lines that a run prints before it computes features."""
    recipe, splits = setting.recipe, setting.splits
    spec = recipe.classifier
    assert spec is not None
    sizes = ", ".join(f"{name} {splits.sizes[name]} ({origin})" for name, origin in splits.origin.items())
    classes = f"{setting.labels.size} classes" if setting.labels.names else setting.labels.problem
    counts = describe_counts(splits.classes)
    lines = [f"{recipe.name}: {spec.type} on features of {recipe.backbone.name}, {recipe.data.path}, {classes}", sizes]
    return [*lines, *([f"rows of each class: {counts}"] if counts else []), *splits.notes]


def fit(setting: Setting, found: dict[str, features.Features], target: np.ndarray | None) -> classifier.Fitted:
    """The classifier, fitted on the training rows; an argument is chosen on the validation rows if there are any."""
    train, held, spec = found["train"], found.get("validation"), setting.recipe.classifier
    assert spec is not None
    assert train.labels is not None
    return classifier.fit(
        spec,
        train.values,
        train.labels,
        validation=None if held is None or held.labels is None else (held.values, held.labels),
        target=target,
        seed=setting.recipe.seed,
        problem=setting.recipe.problem,
        names=setting.labels.names or None,
    )


def save(
    setting: Setting,
    arguments: TrainingArguments,
    folder: RunFolder,
    fitted: classifier.Fitted,
    found: dict[str, features.Features],
) -> str:
    """Write the model, and compare its outputs, loaded again, with the classifier's: `head` or `beside`, where it is.

    Raises:
        RunError: it cannot be written, or answers otherwise.
    """
    recipe, task, processor = setting.recipe, setting.recipe.the_task, setting.processor
    setting.model.set_limit()
    split = reload.sampled_split(setting.splits)
    inputs = reload.sample_inputs(setting.splits, task, split)
    values = torch.from_numpy(np.array(found[split].values[: len(inputs)]))
    whole = with_linear_head(recipe, setting.labels, processor, fitted, setting.view, values, inputs)

    def write(temp: Path) -> None:
        if whole is not None:
            save_whole(whole, processor, task, temp)
        else:
            save_beside(setting.model.loaded(), processor, recipe, setting.labels, fitted, setting.view, temp)

    common.save(folder, write)
    expected = PROBLEMS[task.problem].probabilities(torch.from_numpy(fitted.logits(values.numpy())).float())
    prove(folder, recipe, reload.Sample(inputs, expected), tolerance(arguments, recipe.backbone.dtype))
    return "beside" if whole is None else "head"


def prove(folder: RunFolder, recipe: Recipe, sample: reload.Sample, limit: float) -> None:
    """Raise RunError if the saved model does not load, or answers otherwise than the classifier did, by more than a limit."""
    source, plainly = str(folder.model), reload.loads_plainly(folder.model, recipe.backbone)
    try:
        worst = reload.answers_difference(source, sample, recipe.the_task, plainly, device="cpu", dtype="auto")
    except (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(f"{source} was saved but cannot be loaded: {first_line(error)}") from error
    if worst > limit:
        assert recipe.classifier is not None
        remedy = STEADIER.get(recipe.classifier.type, FEWER_DIRECTIONS)
        raise RunError(
            f"the outputs of {source}, reloaded, differ from the classifier's by {worst:.2g}, since its weights are large; "
            f"{remedy} may make it less sensitive to rounding"
        )


def score(
    setting: Setting, folder: RunFolder, fitted: classifier.Fitted, found: dict[str, features.Features]
) -> dict[str, dict[str, Any]]:
    """Score validation and test, with the outputs stored in the run folder: split -> `metrics` and tables of the classes."""
    recipe = setting.recipe
    scores = {
        name: score_answers(
            answers(fitted, rows),
            Metrics(setting.labels, recipe.metrics),
            folder.outputs / f"{name}.safetensors",
            setting.splits.origin[name],
            len(rows.values),
            recipe.score.outputs_limit,
        )
        for name, rows in found.items()
        if name in ("validation", "test")
    }
    write_rows(folder, recipe, setting.splits)
    return scores


def answers(fitted: classifier.Fitted, rows: features.Features) -> Iterator[tuple[Tensor, Tensor]]:
    """(logits, labels) of rows, batch by batch."""
    assert rows.labels is not None
    for begin in range(0, len(rows.values), BATCH):
        part = slice(begin, begin + BATCH)
        logits = torch.from_numpy(fitted.logits(np.asarray(rows.values[part]))).float()
        yield logits, torch.from_numpy(np.array(rows.labels[part]))


def check(recipe: Recipe) -> Iterator[str]:
    """The lines of `hfft check --deep`: the data and the features that the classifier would be fitted on."""
    setting = Setting.of(recipe)
    yield from opening(setting)
    spec = recipe.classifier
    assert spec is not None
    yield f"a {spec.type} is fitted on features of {setting.splits.sizes['train']} rows"
