"""Save a fitted classifier with its features model: as the model's own head if it is linear, otherwise beside the model."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hfft import backbone, classifier, head
from hfft.classifier.files import REST
from hfft.errors import ModelError
from hfft.eval_mode import eval_mode
from hfft.features.views import View, bare
from hfft.head.spec import Head
from hfft.modeling import OwnHead
from hfft.predict.classified import MARK
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task

SAME = 1e-3  # relative difference of the features, and of what a head reads: other features differ by far more


def with_linear_head(
    recipe: Recipe,
    labels: Labels,
    processor: Any,
    fitted: classifier.Fitted,
    view: View,
    features: torch.Tensor,
    inputs: list[Any],
) -> PreTrainedModel | None:
    """The model for the task whose head is the classifier; None if the classifier is not linear, or no head reads its features.

    The architecture's own head is taken if its last layer reads these features, so that no code has to go with the
    model; otherwise hfft's linear head with their pooling.

    Args:
        features: what the classifier was fitted on, for a few rows `(n, D)`.
        inputs: the same rows, as a predictor takes them.
    """
    if fitted.linear is None or view.layer != -1:
        return None
    weight, bias = (torch.from_numpy(part) for part in fitted.linear)
    for wanted in _heads(recipe, view):
        try:
            model = backbone.load_model(recipe.backbone, wanted, recipe.the_task, labels, processor)
        except ModelError:  # such as a pooler that the checkpoint lacks
            continue
        layer = _last_layer(model)
        if layer is not None and _reads(model, layer, recipe.the_task, processor, inputs, features):
            with torch.no_grad():
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
            return model.eval()
    return None


def _heads(recipe: Recipe, view: View) -> list[Head]:
    """The heads that may read features of a pooling, the architecture's own first."""
    stock = [Head(new=recipe.head.new)]
    pooling: Any = "mean" if view.pooling == "pooler" else view.pooling  # a convolutional net's pooler is the mean
    own = [Head(kind="linear", pooling=pooling)]
    if recipe.the_task.modality.tokens and view.pooling in ("mean", "max"):
        return own  # no stock head for texts reads them
    return stock + own


def _last_layer(model: PreTrainedModel) -> nn.Linear | None:
    """The layer that computes the outputs, if it is a linear one with a bias."""
    if isinstance(own := getattr(model, "head", None), OwnHead):
        found: list[nn.Module] = [module for module in own.modules() if isinstance(module, nn.Linear)]
        return found[-1] if found and isinstance(found[-1], nn.Linear) else None
    owners = {name.rpartition(".")[0] for name in head.output_parameters(model)}
    layer = model.get_submodule(owners.pop()) if len(owners) == 1 else None
    return layer if isinstance(layer, nn.Linear) and layer.bias is not None else None


@torch.no_grad()
def _reads(
    model: PreTrainedModel, layer: nn.Linear, task: Task, processor: Any, inputs: list[Any], features: torch.Tensor
) -> bool:
    """Whether a layer reads the features: what goes into it is compared with them."""
    read: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, given: read.append(given[0].detach().float().cpu()))
    reader = task.modality.inputs
    on_device = reader.on_device(processor)
    found = torch.empty(len(inputs), features.shape[1])
    try:
        with eval_mode(model):
            for places, batch in reader.batches(inputs, len(inputs), processor, on_device):
                read.clear()
                model(**(batch if on_device is None else on_device(batch)))
                if len(read) != 1 or read[0].shape != (len(places), features.shape[1]):
                    return False
                found[list(places)] = read[0]
    finally:
        handle.remove()
    return bool((found - features).abs().max() <= SAME * features.abs().max())


def save_beside(
    model: Any, processor: Any, recipe: Recipe, labels: Labels, fitted: classifier.Fitted, view: View, folder: Path
) -> None:
    """Write the features model, its processor, and the classifier in its two files."""
    base = bare(model)
    config = copy.deepcopy(base.config)
    for key in ("own_head", "auto_map"):
        vars(config).pop(key, None)
    config.id2label, config.label2id = labels.id2label, labels.label2id
    if not labels.names:
        config.num_labels = labels.size
    config.problem_type = labels.problem
    setattr(config, MARK, REST)
    before, base.config = base.config, config
    try:
        base.save_pretrained(folder)
    finally:
        base.config = before
    processor.save_pretrained(folder)
    classifier.save(fitted, folder, {"task": recipe.task, "pooling": view.pooling, "layer": view.layer})


def stored_beside(folder: Path) -> bool:
    """Whether a saved model's config names a classifier beside it."""
    return MARK in json.loads((folder / "config.json").read_text(encoding="utf-8"))
