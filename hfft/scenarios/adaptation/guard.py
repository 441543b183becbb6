"""The guard against negative transfer: the source-only model is kept unless a label-free criterion prefers the adapted one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from hfft.data.load import load_splits
from hfft.data.sets import rows_of
from hfft.data.spec import NONE
from hfft.errors import BadInput
from hfft.evaluate.label_free import CRITERIA, chosen, criteria
from hfft.predict import trained
from hfft.predict.held_out import HeldOut
from hfft.predict.predictor import Predictor, load_predictor
from hfft.recipe import Recipe
from hfft.strategy.build import build_methods
from hfft.wording import listing

ADAPTED, SOURCE = "adapted", "source-only"


def compare(adapted: str, source: str, overrides: Sequence[str] = ()) -> Iterator[str]:
    """One line for each criterion with both models' values and which one it keeps; the first decides.

    Target labels, where there are any, give the accuracies at the end, and decide nothing.

    Args:
        adapted: a run that was adapted: with a method `on` a set, or with `data.labels: none`.
        source: the run that was not; its validation rows are those of the source.
        overrides: of the adapted run's recipe.

    Raises:
        BadInput, DataError: one of them is no run, or they have other classes.
    """
    recipe, own = trained.recipe_of(adapted, list(overrides)), trained.recipe_of(source, [])
    models = {ADAPTED: load_predictor(adapted), SOURCE: load_predictor(source)}
    orders = {name: _names(model) for name, model in models.items()}
    if set(orders[ADAPTED]) != set(orders[SOURCE]):
        raise BadInput(f"--guard: {adapted} and {source} have other classes ({_apart(orders)}); give runs of one task")
    what, inputs = target_rows(recipe, models[ADAPTED])
    validation = _validation(own)
    found: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        here = None if validation is None else _answers(model, *validation, source)
        found[name] = criteria(_probabilities(model.logits(inputs)), *(here or (None, None)))
    said = f"criteria on {len(inputs)} rows of {what} without their labels"
    yield said if validation is None else f"{said}, and on {len(validation[0].validation)} validation rows of {source}"
    for name in CRITERIA:
        if all(name in values for values in found.values()):
            keeps = chosen(found, SOURCE, name)
            better = "more" if CRITERIA[name] else "less"
            ours, theirs = (found[model][name] for model in (ADAPTED, SOURCE))
            yield f"  {name:<18} {ADAPTED} {ours:.4f}  {SOURCE} {theirs:.4f}  keeps {keeps} ({better} is better)"
    if validation is None:
        yield f"  no validation rows of {source}, so atc and source_validation are left out"
    first = next(iter(CRITERIA))
    kept = chosen(found, SOURCE, first)
    yield f"kept by {first}: {kept}, {adapted if kept == ADAPTED else source}"
    splits, labels = load_splits(
        recipe.data if _labelled_target(recipe) else _of_set(recipe), recipe.the_task, recipe.seed
    )
    if splits.test is None:
        yield "the target has no test split with labels, so nothing is scored"
        return
    right = {}
    for name, model in models.items():
        held = HeldOut.of(model, splits.columns, labels, adapted)
        pairs = list(held.answers(splits.test))
        right[name] = float(torch.cat([logits.argmax(1) == truth for logits, truth in pairs]).double().mean())
    yield (
        f"by labels, which decided nothing: {ADAPTED} {right[ADAPTED]:.4f}, {SOURCE} {right[SOURCE]:.4f} (accuracy, test of "
        f"the target, n={len(splits.test)})"
    )


def target_rows(recipe: Recipe, predictor: Predictor) -> tuple[str, list[Any]]:
    """Where the target's rows are, and what a predictor takes for them: of the set that a method reads, else of train.

    Raises:
        BadInput: the recipe adapts to nothing.
    """
    reader, task = predictor.modality.inputs, recipe.the_task
    if _labelled_target(recipe):
        splits, _ = load_splits(recipe.data, task, recipe.seed)
        return f"{recipe.data.path} (train)", [reader.of_row(row, splits.columns) for row in splits.train]
    name = set_of(recipe)
    _, labels = load_splits(recipe.data, task, recipe.seed)
    rows, roles = rows_of(f"data.sets.{name}", recipe.data.sets[name], task, labels, render=recipe.data.render)
    return f"data.sets.{name}", [reader.of_row(row, roles) for row in rows]


def set_of(recipe: Recipe) -> str:
    """The set that the first adapting method reads.

    Raises:
        BadInput: there is none.
    """
    for method in build_methods(recipe.strategy):
        if (name := getattr(getattr(method, "spec", None), "on", None)) is not None:
            return name
    raise BadInput(
        "--guard: the run is adapted to nothing (no method `on` a set, no data.labels=none); give an adapted run"
    )


def _labelled_target(recipe: Recipe) -> bool:
    """Whether the recipe's own data is the target, as in source-free adaptation."""
    return recipe.data.labels == NONE


def _of_set(recipe: Recipe) -> Any:
    """The data section that reads the set's own splits, test among them where it has one."""
    return recipe.data.sets[set_of(recipe)].data(validation=NONE, render=recipe.data.render)


def _validation(recipe: Recipe) -> tuple[Any, Any] | None:
    splits, labels = load_splits(recipe.data, recipe.the_task, recipe.seed)
    return None if splits.validation is None else (splits, labels)


def _answers(model: Predictor, splits: Any, labels: Any, source: str) -> tuple[np.ndarray, np.ndarray]:
    held = HeldOut.of(model, splits.columns, labels, source)
    pairs = list(held.answers(splits.validation))
    logits, truth = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return _probabilities(logits), truth.numpy()


def _probabilities(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(1).numpy()


def _names(model: Predictor) -> list[str]:
    return [str(name) for name in model.model.config.id2label.values()]


def _apart(orders: dict[str, list[str]]) -> str:
    return listing(sorted(set(orders[ADAPTED]) ^ set(orders[SOURCE])))
