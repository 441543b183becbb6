"""The runs whose weights are averaged: opened, merged if they are adapters, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hfft import head, layers
from hfft.errors import BadInput
from hfft.layers.adapters.arguments import merges
from hfft.predict.adapted import load_adapted
from hfft.predict.predictor import Predictor, load_predictor
from hfft.publish.adapter import adapter_config
from hfft.recipe import Recipe, load_recipe
from hfft.runs.data_note import trained_rows
from hfft.runs.folder import RunFolder, differences
from hfft.wording import listing

START = ("name", "revision", "init", "edit", "config")  # keys of `backbone` that decide where training starts


@dataclass(frozen=True)
class Member:
    """A finished run.

    Attributes:
        name: of its folder, with a number if several have it.
        weights: name -> tensor of the whole model, an adapter merged, the rows of its head in the first member's order.
        metrics: the content of metrics.json.
        trained: digests of its training rows; None if they are not known.
    """

    source: str
    name: str
    recipe: Recipe
    metrics: dict[str, Any]
    weights: dict[str, Tensor]
    trained: np.ndarray | None


def open_members(sources: Sequence[str]) -> tuple[list[Member], Predictor]:
    """The runs, and a predictor with the first one's model, into which any of their weights can be loaded.

    Raises:
        BadInput: one is not a finished run, cannot be averaged, or differs from the first in architecture, classes or start.
    """
    recipes = [_recipe(source) for source in sources]
    for source, recipe in zip(sources[1:], recipes[1:], strict=True):
        _check_start(sources[0], recipes[0], source, recipe)
    predictor = _plain(sources[0])
    first = predictor.model
    names = folder_names(sources)
    members = [_member(sources[0], names[0], recipes[0], dict(first.state_dict()))]
    for source, name, recipe in zip(sources[1:], names[1:], recipes[1:], strict=True):
        model = _plain(source).model
        members.append(_member(source, name, recipe, _matched(sources[0], first, source, model)))
    return members, predictor


def folder_names(sources: Sequence[str]) -> list[str]:
    """The last part of each path, with a number where several are equal."""
    names = [Path(source).resolve().name for source in sources]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, 1)]


def _recipe(source: str) -> Recipe:
    folder = RunFolder(Path(source))
    if folder.state() != "finished":
        raise BadInput(f"{source} is not a finished run; train it to the end first, or leave it out")
    recipe = load_recipe(folder.recipe)
    if recipe.use != "fine-tune":
        raise BadInput(
            f"{source} is a run with use={recipe.use}: no network was trained in it; only fine-tunes can be averaged"
        )
    if recipe.backbone.init == "random":
        raise BadInput(
            f"{source} began at random weights (backbone.init); only runs from the same pretrained weights can be averaged"
        )
    config = adapter_config(folder.model)
    if config is not None and merges({"type": str(config["peft_type"]).lower()}) is False:
        raise BadInput(
            f"{source} is an adapter of type {str(config['peft_type']).lower()}, which cannot be merged into the weights, so "
            f"its change of them cannot be averaged"
        )
    return recipe


def _check_start(first: str, ours: Recipe, source: str, theirs: Recipe) -> None:
    kinds = [(recipe.task, recipe.problem) for recipe in (ours, theirs)]
    if kinds[0] != kinds[1]:
        raise BadInput(
            f"{first} is for {' and '.join(kinds[0])}, {source} for {' and '.join(kinds[1])}: not the same task"
        )
    left_start, right_start = ({key: recipe.backbone.plain().get(key) for key in START} for recipe in (ours, theirs))
    if found := differences(left_start, right_start):
        key, _, values = found[0].partition(": ")
        left, right = values.split(", now ", 1)
        raise BadInput(
            f"backbone.{key} is {left} in {first} and {right} in {source}; only runs from the same start can be averaged"
        )


def _plain(source: str) -> Predictor:
    """The predictor of a run; an adapter is merged into its backbone."""
    folder = RunFolder(Path(source)).model
    if adapter_config(folder) is None:
        found = load_predictor(source, device="cpu")
    else:
        adapted, config = load_adapted(str(folder))
        modality = load_recipe(RunFolder(Path(source)).recipe).the_task.modality
        processor = modality.load_processor(str(folder), config=config, trust_remote_code=False)
        found = Predictor(layers.merged(adapted).eval(), processor, modality)
    return found


def _member(source: str, name: str, recipe: Recipe, weights: dict[str, Tensor]) -> Member:
    metrics = RunFolder(Path(source)).metrics_of_run()
    copies = {name: tensor.clone() for name, tensor in weights.items()}
    return Member(source, name, recipe, metrics, copies, trained_rows(Path(source)))


def _matched(first: str, ours: Any, source: str, theirs: Any) -> dict[str, Tensor]:
    """The weights of another model, with its classes in the order of the first one's.

    Raises:
        BadInput: they have other classes, or tensors of other names or shapes.
    """
    names, others = (list(model.config.id2label.values()) for model in (ours, theirs))
    if set(names) != set(others):
        raise BadInput(
            f"{first} has the classes ({listing(names)}), {source} has ({listing(others)}); only runs with the same classes "
            f"can be averaged"
        )
    left, right = ours.state_dict(), dict(theirs.state_dict())
    for name in [*left, *right]:
        if name not in left or name not in right or left[name].shape != right[name].shape:
            said = [f"{name} {tuple(found[name].shape)}" if name in found else f"no {name}" for found in (left, right)]
            raise BadInput(f"{first} has {said[0]}, {source} {said[1]}: not the same architecture")
    if names != others:
        order = [others.index(name) for name in names]
        for name, dim in head.output_parameters(theirs).items():
            right[name] = right[name].index_select(dim, right[name].new_tensor(order).long())
    return right
