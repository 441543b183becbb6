"""The rows that a recipe trains on and scores, and what their labels mean: of one task, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hfft import data, strategy
from hfft.data.patch_masks import PatchMasks
from hfft.data.task_rows import TaskData, load_task_splits, prepare_tasks
from hfft.evaluate import Metrics
from hfft.evaluate.task_metrics import TaskMetrics
from hfft.pipeline import row_groups
from hfft.recipe import Recipe
from hfft.recipe.several_tasks import of_task
from hfft.strategy.tasks.own_losses import OwnLoss, OwnLosses
from hfft.tasks.labels import Labels


def singles(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each of several tasks, as it would be by itself."""
    return {entry.name: Recipe.model_validate(of_task(recipe, entry)) for entry in recipe.tasks}


def load(recipe: Recipe) -> tuple[data.Splits, Labels]:
    """The splits, and the meaning of the model's outputs.

    Raises:
        BadInput: the data cannot be used as the recipe says.
    """
    if recipe.tasks:
        return load_task_splits(_task_data(recipe), recipe.seed)
    return data.load_splits(recipe.data, recipe.the_task, recipe.seed)


def fit_processor(recipe: Recipe, splits: data.Splits, processor: Any) -> None:
    """Set what the processor takes from the training rows: those of all tasks.

    Raises:
        DataError: the rows do not fit the model.
    """
    tasks = splits.tasks or {"": splits}
    recipe.the_task.modality.inputs.fit(
        processor, {name: (dict(one.items()), one.columns) for name, one in tasks.items()}
    )


def prepare(
    recipe: Recipe, splits: data.Splits, labels: Labels, processor: Any, masks: PatchMasks | None = None
) -> data.Prepared:
    """Model inputs of every split.

    Args:
        masks: what is hidden of each image, in masked image modelling.

    Raises:
        DataError: a row cannot be read.
    """
    if recipe.tasks:
        return prepare_tasks(splits, _task_data(recipe), labels, processor, recipe.seed)
    return data.prepare(splits, recipe.data, recipe.the_task, labels, processor, recipe.seed, masks)


def metrics(recipe: Recipe, labels: Labels) -> Any:
    """The metrics of the recipe, as `compute_metrics` of a Trainer."""
    if recipe.tasks:
        return TaskMetrics(labels, {name: one.metrics for name, one in singles(recipe).items()})
    return Metrics(labels, recipe.metrics)


def methods(recipe: Recipe, splits: data.Splits, labels: Labels) -> list[strategy.Method]:
    """The methods of the recipe; with several tasks, one of them gives each its own loss."""
    found = strategy.build_methods(recipe.strategy)
    if not recipe.tasks or all(entry.weight == 1 and not entry.loss.changed() for entry in recipe.tasks):
        return found
    meanings = dict(labels.tasks)
    own = OwnLosses(
        [
            OwnLoss(
                entry.weight,
                strategy.build_methods(entry.loss),
                row_groups.class_ids(splits.tasks[entry.name], meanings[entry.name]),
            )
            for entry in recipe.tasks
        ]
    )
    own.name = "tasks"
    return [*found, own]


def domain_ids(
    recipe: Recipe, splits: data.Splits, prepared: data.Prepared, methods: Sequence[strategy.Method]
) -> np.ndarray | None:
    """Number of each training row's domain, or of its task if there are several: `(rows,)`; None if no method needs it.

    Raises:
        BadInput: a row has no domain, or there is a single one.
    """
    return prepared.train.task_ids if recipe.tasks else row_groups.domain_ids(recipe, splits, methods)


def _task_data(recipe: Recipe) -> dict[str, TaskData]:
    return {name: TaskData(one.data, one.the_task) for name, one in singles(recipe).items()}
