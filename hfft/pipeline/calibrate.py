"""Calibrate a finished model: scale its logits as held-out rows ask for, inside its last layer.

Everything that loads the model answers with the new probabilities then, plain transformers as well. It is done after
training and before anything is scored, so that scores, stored outputs and the saved model agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from transformers import TrainingArguments

from hfft import head
from hfft.classifier.linear import Linear
from hfft.data import Splits
from hfft.errors import BadInput
from hfft.evaluate.calibration import Decisions, equal_width
from hfft.evaluate.outputs import Outputs
from hfft.evaluate.scaling import Scaling, fit, row_losses
from hfft.modeling import OwnHead
from hfft.processes import by_first_process, say
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.train import FineTuner
from hfft.train.answers import answers
from hfft.train.reader import last_layer

if TYPE_CHECKING:
    from hfft.classifier.fitted import Fitted
    from hfft.pipeline.fit import Training

FIRST = 64  # rows on which the changed model is compared with what it should answer
TOLERANCE = 1e-2  # of their probabilities; in half precision the product is rounded otherwise
NONE = "none"


@dataclass(frozen=True)
class Calibrated:
    """What was done, or why nothing was.

    Attributes:
        way: `temperature` or `vector`.
        rows: number of validation rows that it was fitted on.
        answered: the class of each validation row before, `(N,)`; for labels, which are given, `(N, C)`.
        refused: why the model is as it was trained.
    """

    way: str
    rows: int
    answered: np.ndarray
    scaling: Scaling | None = None
    refused: str | None = None


def check(recipe: Recipe, arguments: TrainingArguments, model: nn.Module, splits: Splits) -> None:
    """Before training, refuse to calibrate what could not be.

    Raises:
        BadInput: there are no validation rows, a class has none, the weights are divided, or the head does not end so.
    """
    way = recipe.score.calibrate
    if way == NONE:
        return
    if arguments.fsdp or arguments.deepspeed is not None:
        raise BadInput(
            f"score.calibrate: is {way}, which changes the whole last layer, but FSDP and DeepSpeed divide it; use none"
        )
    check_rows(recipe, splits)
    last_scaled(model, way)


def check_rows(recipe: Recipe, splits: Splits) -> None:
    """Raise BadInput if there are no validation rows, or for a vector none of a class."""
    way = recipe.score.calibrate
    if splits.validation is None or not splits.sizes["validation"]:
        raise BadInput(
            f"score.calibrate: is {way}, which is fitted on validation rows, and there are none; set data.validation"
        )
    absent = [name for name, count in splits.classes.get("validation", {}).items() if not count]
    if way == "vector" and absent:
        raise BadInput(
            f"score.calibrate: is vector, but {absent[0]!r} has no validation row; use temperature, or more validation rows"
        )


def last_scaled(model: nn.Module, way: str) -> nn.Linear | OwnHead:
    """The layer whose weights scale the logits: the linear one at the end of the head, or a head of cosines.

    Raises:
        BadInput: there is none.
    """
    base: Any = model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]
    for name, module in base.named_modules():
        if isinstance(module, OwnHead) and module.kind == "cosine" and "original_module" not in name:
            return module
    matrices = [name for name, dim in head.output_parameters(base).items() if dim == 0 and name.endswith("weight")]
    last = last_layer(model)
    if len(matrices) != 1 or not isinstance(last, nn.Linear):
        raise BadInput(
            f"score.calibrate: is {way}, which is folded into a linear layer, but the head of {base.config.model_type} does not "
            f"end with one ({type(last).__name__}); use none, or head.kind=linear"
        )
    if way == "vector" and last.bias is None:
        raise BadInput(
            f"score.calibrate: is vector, but the last layer of {base.config.model_type} has no bias to shift a class by; use "
            f"temperature, or head.kind=linear"
        )
    return last


@torch.no_grad()
def fold(layer: nn.Linear | OwnHead, scaling: Scaling) -> None:
    """Scale and shift a layer's outputs, in place; a head of cosines takes a temperature only."""
    scale, shift = torch.from_numpy(scaling.scale), torch.from_numpy(scaling.shift)
    if isinstance(layer, OwnHead):
        layer.scale.copy_(layer.scale.double().cpu() * scale[0])
        return
    layer.weight.copy_(layer.weight.double().cpu() * scale[:, None])
    if layer.bias is not None:
        layer.bias.copy_(layer.bias.double().cpu() * scale + shift)


def calibrate(training: Training) -> Calibrated | None:
    """Fit on the validation rows and fold into the trained model; None if the recipe does not ask for it.

    All processes must call this, in the context in which the model is scored. What cannot be fitted leaves the model as it
    was: it is trained, and must be saved.
    """
    way, trainer = training.recipe.score.calibrate, training.run.trainer
    if way == NONE:
        return None
    rows = training.run.prepared.validation
    found = answers(trainer, trainer.model, rows)
    before, references = found.logits.double().numpy(), found.labels.numpy()
    done = fitted_to(way, before, references, training.run.labels)
    if done.scaling is None:
        say(f"not calibrated: {done.refused}")
        return done
    layer = last_scaled(trainer.accelerator.unwrap_model(trainer.model), way)
    kept = [tensor.detach().clone() for tensor in layer.parameters(recurse=False)]
    fold(layer, done.scaling)
    if wrong := _differs(trainer, rows, before, done.scaling):
        with torch.no_grad():
            for tensor, old in zip(layer.parameters(recurse=False), kept, strict=True):
                tensor.copy_(old)
        say(f"not calibrated: {wrong}")
        return replace(done, scaling=None, refused=wrong)
    return done


@by_first_process
def fitted_to(way: str, logits: np.ndarray, references: np.ndarray, labels: Labels) -> Calibrated:
    """The scaling of validation rows: logits `(N, C)` and their classes `(N,)` or labels `(N, C)`."""
    answered = logits.argmax(1) if references.ndim == 1 else logits > 0
    done = Calibrated(way, len(logits), answered)
    if not np.isfinite(logits).all():
        return replace(done, refused="the logits of validation rows are not finite")
    if (answered == (references if references.ndim == 1 else references > 0.5)).all():
        why = f"none of {len(logits)} validation rows is wrong, so that the more confident the likelier they are"
        return replace(done, refused=f"{why}; it takes more of them")
    try:
        scaling = fit(way, logits, references, labels.names)
    except BadInput as error:
        return replace(done, refused=str(error))
    return replace(done, scaling=scaling)


def _differs(trainer: FineTuner, rows: Any, before: np.ndarray, scaling: Scaling) -> str | None:
    """Why the folded model does not answer as it should, on its first rows; None if it does."""
    first = range(min(FIRST, len(rows)))
    few = rows.select(first) if hasattr(rows, "select") else torch.utils.data.Subset(rows, list(first))
    now = answers(trainer, trainer.model, few).logits.double()
    wanted = torch.from_numpy(scaling.apply(before[: len(first)]))
    off = (trainer.problem.probabilities(now) - trainer.problem.probabilities(wanted)).abs().max().item()
    return (
        f"the model's logits are not those of its last layer (probabilities differ by {off:.2g})"
        if off > TOLERANCE
        else None
    )


def of_classifier(recipe: Recipe, fitted: Fitted, validation: Any, labels: Labels) -> tuple[Fitted, Calibrated | None]:
    """The classifier with its scaling, fitted on validation features, and what was done.

    Raises:
        BadInput: the classifier is not linear in its features, or there are no validation rows.
    """
    way = recipe.score.calibrate
    if way == NONE:
        return fitted, None
    if not isinstance(fitted.model, Linear):
        raise BadInput(
            f"score.calibrate: is {way}, which is folded into a linear layer, but a {fitted.type} has none; use none, or "
            f"classifier.type=logistic-regression"
        )
    if validation is None or validation.labels is None:
        raise BadInput(
            f"score.calibrate: is {way}, which is fitted on validation rows, and there are none; set data.validation"
        )
    done = fitted_to(way, fitted.logits(np.asarray(validation.values)), np.asarray(validation.labels), labels)
    if done.scaling is None:
        say(f"not calibrated: {done.refused}")
        return fitted, done
    weight = fitted.model.weight * done.scaling.scale[:, None]
    return replace(fitted, model=Linear(weight, done.scaling.apply(fitted.model.bias[None])[0])), done


@by_first_process
def described(done: Calibrated | None, folder: RunFolder, scored: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics.json says of it under `calibrated`: how, and error and likelihood of each scored split before and after.

    Args:
        folder: the run, whose stored outputs are those of the calibrated model.
        scored: metrics by split.
    """
    if done is None:
        return {}
    about: dict[str, Any] = {"by": done.way, "fitted_on": "validation", "fitted_n": done.rows}
    if done.scaling is None:
        return {"calibrated": {**about, "refused": done.refused}}
    about |= {"temperature": done.scaling.temperature, "at_limit": done.scaling.at_limit}
    if done.way == "vector":
        about |= {"scale": done.scaling.scale.tolist(), "shift": done.scaling.shift.tolist()}
    splits = dict[str, Any]()
    for name in ("validation", "test"):
        path = folder.outputs / f"{name}.safetensors"
        if name not in scored or not path.is_file():
            continue
        outputs = Outputs.read(path)
        after, references = np.asarray(outputs.logits, np.float64), np.asarray(outputs.references)
        if name == "validation":
            answered = after.argmax(1) if references.ndim == 1 else after > 0
            about["changed"] = int((answered != done.answered).sum())
        both = {"before": done.scaling.undo(after), "after": after}
        splits[name] = {"n": len(outputs)} | {
            when: figures(logits, references, outputs.labels) for when, logits in both.items()
        }
    return {"calibrated": {**about, "splits": splits}}


def figures(logits: np.ndarray, references: np.ndarray, labels: Labels) -> dict[str, float]:
    """`ece` and `nll` of logits `(N, C)`."""
    p = PROBLEMS[labels.problem].probabilities(torch.from_numpy(logits)).numpy()
    ece = equal_width(np.ones((1, len(p))), Decisions.of(p, references))[0]
    return {"ece": float(ece), "nll": float(row_losses(logits, references).mean())}


def in_words(found: Mapping[str, Any]) -> list[str]:
    """The entry `calibrated` of metrics.json in lines."""
    if "refused" in found:
        return [f"not calibrated: {found['refused']}"]
    how = f"temperature {found['temperature']:.3f}" if found["by"] == "temperature" else "a scale and a shift per class"
    how += ", the limit of the search" if found["at_limit"] else ""
    head_line = f"calibrated: {how}, fitted on {found['fitted_on']} (n={found['fitted_n']}), is part of the last layer"
    if found.get("changed"):
        head_line += f"; it changes {found['changed']} of these answers"
    return [head_line] + [
        f"{split} ece {one['before']['ece']:.4f} before, {one['after']['ece']:.4f} after; "
        f"nll {one['before']['nll']:.4f} before, {one['after']['nll']:.4f} after  (n={one['n']})"
        for split, one in found["splits"].items()
    ]
