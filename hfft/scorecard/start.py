"""The pretrained model that a run began with, frozen, for comparison with what became of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from hfft import backbone
from hfft.backbone.pooling import fitting_pooling
from hfft.errors import BadInput
from hfft.features.extract import check_finite, extract_views
from hfft.features.model import FeatureModel
from hfft.features.views import View
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels


@dataclass(frozen=True)
class Start:
    """A recipe's pretrained model.

    Attributes:
        pooling: that of the recipe's head, or what the checkpoint was trained with.
    """

    recipe: Recipe
    processor: Any
    model: FeatureModel
    pooling: str

    @classmethod
    def of(cls, recipe: Recipe, labels: Labels) -> Start:
        """The start of a run.

        Raises:
            BadInput: there is none, because the run began with random weights or a new recurrent net.
        """
        check_start(recipe)
        recipe = recipe.model_copy(update={"backbone": backbone.pinned(recipe.backbone)})
        task = recipe.the_task
        processor = backbone.load_processor(recipe.backbone, task)
        pooling = recipe.head.pooling or fitting_pooling(recipe.backbone, task).pooling
        model = FeatureModel(recipe, processor, labels, pooling)
        model.set_limit()
        return cls(recipe, processor, model, pooling)


def check_start(recipe: Recipe) -> None:
    """Raise BadInput if a run of the recipe begins without a pretrained model."""
    if recipe.backbone.init != "pretrained":
        raise BadInput("the run began with random weights, so there is no pretrained model to compare with")
    if recipe.backbone.rnn is not None:
        raise BadInput("the run began with a new recurrent net, so there is no pretrained model to compare with")


def features(
    model: nn.Module, processor: Any, recipe: Recipe, inputs: Sequence[Any], views: Sequence[View]
) -> list[np.ndarray]:
    """The features `(N, D)` of each view.

    Raises:
        DataError: the features of a row are not finite.
    """
    found = extract_views(model, processor, inputs, recipe.the_task, views)
    for values in found:
        check_finite(values)
    return found


def without_adapter(model: Any) -> Any:
    """The model with its adapter merged into its weights, or the model itself."""
    return copy.deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model
