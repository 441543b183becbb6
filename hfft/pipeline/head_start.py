"""How a recipe's head begins: with the pooling that fits the checkpoint, and from a fitted classifier if the recipe says so."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hfft import data, head
from hfft.backbone.pooling import Pooling, pooling_to_set, sentence_pooling
from hfft.data.splits import column
from hfft.errors import BadInput, ModelError
from hfft.features.extract import batches
from hfft.head.closed_form import check_linear, closed_form, write
from hfft.processes import by_first_process
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.train.reader import Reader, last_layer


def with_pooling(recipe: Recipe, download: bool = False) -> tuple[Recipe, str | None]:
    """The recipe with the pooling that its checkpoint was trained with, and a line that says so; mostly unchanged, and None.

    A recipe that names its pooling, or modules of the architecture's head, keeps that; so does an adapter that is published
    apart, since others load it onto the architecture's head. A kind of head without a pooling gets a sentence encoder's.

    Args:
        download: whether the weights of a hub model may be downloaded to look for a pooler.
    """
    chosen = recipe.head
    if not recipe.the_task.labelled or chosen.pooling or chosen.new or chosen.keep_known or recipe.backbone.rnn:
        return recipe, None
    if chosen.kind is not None:
        states = chosen.kind != "attention-pool" and recipe.the_task.modality.tokens
        stated = sentence_pooling(recipe.backbone) if states else None
        return (recipe, None) if stated is None else _in_words(recipe, stated)
    adapter = recipe.layers.adapter
    if recipe.published_as == "adapter" or (adapter is not None and "from" in adapter):
        return recipe, None
    if "pooler" in json.dumps([recipe.layers.plain(), recipe.backbone.edit], default=str):
        return recipe, None
    found = pooling_to_set(recipe.backbone, recipe.the_task, download)
    if found is None:
        return recipe, None
    return _in_words(recipe, found)


def _in_words(recipe: Recipe, found: Pooling) -> tuple[Recipe, str]:
    changed = recipe.head.model_copy(update={"pooling": found.pooling})
    return recipe.model_copy(update={"head": changed}), found.line()


class HeadInput:
    """Reads what a head's last layer reads, for `hfft.features.extract.batches`."""

    def __init__(self, model: nn.Module):
        self.model, self._reader = model, Reader(model, features=True)

    def on(self) -> contextlib.AbstractContextManager[None]:
        """Inside, forward passes are observed."""
        return self._reader.on()

    def __call__(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """The features `(B, D)` of a batch.

        Raises:
            ModelError: the head reads more than one vector per row.
        """
        self.model(**batch)
        try:
            (features, _) = self._reader.take()
        except BadInput:
            raise ModelError(
                "head.init: the head reads features of each position, not one vector per row; name a head.pooling"
            ) from None
        assert features is not None
        return [features.float()]


def start_from_classifier(
    model: nn.Module, recipe: Recipe, splits: data.Splits, labels: Labels, processor: Any, device: torch.device
) -> None:
    """Fit the last layer of the head on what it reads of the training rows, not augmented, and write it into the model.

    The first process fits it, so that all have the same.

    Raises:
        BadInput: the head does not end with a linear layer, or the classifier cannot be fitted.
    """
    base: Any = model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]
    if len([name for name, dim in head.output_parameters(base).items() if dim == 0 and name.endswith("weight")]) != 1:
        raise ModelError(
            f"head.init: the head of {base.config.model_type} does not end with one linear layer; use default"
        )
    last = check_linear(_plain(last_layer(model)), labels.size, base.config.model_type)
    model.to(device)
    weight, bias = _fitted(model, recipe, splits, labels, processor)
    write(last, weight, bias)


def _plain(last: nn.Module) -> nn.Module:
    """A layer itself, where an adapter has wrapped it."""
    return getattr(last, "base_layer", last)


@by_first_process
def _fitted(
    model: nn.Module, recipe: Recipe, splits: data.Splits, labels: Labels, processor: Any
) -> tuple[np.ndarray, np.ndarray]:
    x, y = head_inputs(model, recipe, splits, labels, processor)
    return closed_form(recipe.head.init, x, y, labels.names, recipe.seed)


def head_inputs(
    model: nn.Module, recipe: Recipe, splits: data.Splits, labels: Labels, processor: Any
) -> tuple[np.ndarray, np.ndarray]:
    """What the last layer of the head reads of the training rows, `(N, D)`, and their classes `(N,)`."""
    task = recipe.the_task
    plain = recipe.data.model_copy(update={"augment": []})
    rows = data.prepare(splits, plain, task, labels, processor, recipe.seed).train
    x = np.empty((0, 0), np.float32)
    for places, (part,) in batches(model, processor, rows, task, HeadInput(model)):
        if not x.size:
            x = np.empty((len(rows), part.shape[1]), np.float32)
        x[places] = part
    return x, column(splits.train, "labels").to_numpy().astype(np.int64)
