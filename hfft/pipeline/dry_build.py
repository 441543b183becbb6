"""Check a recipe against the modules of its model, before any data or weights are downloaded."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hfft import backbone, head, layers
from hfft.backbone.edit import edit
from hfft.errors import ModelError
from hfft.layers.spec import Layers
from hfft.modeling import Edited
from hfft.pipeline.head_start import with_pooling
from hfft.pipeline.masked_images import fitting_masks
from hfft.recipe import Recipe
from hfft.spec import as_list


def dry_build(recipe: Recipe) -> None:
    """Check head, layers, adapter and length in a recipe against the model's module tree (`backbone.build_meta_model`).

    Raises:
        BadInput: a path or pattern matches nothing, there are fewer blocks than named, nothing would learn, the architecture
            does not support the adapter, or the model does not exist or has no class for the task.
    """
    recipe, _ = with_pooling(recipe)
    edits, own = recipe.backbone.edit, recipe.head.own
    inputs = recipe.the_task.modality.inputs
    processor = None
    if edits or own:
        backbone.load_published_config(
            recipe.backbone
        )  # first, so that a model that is not there is told as for any recipe
        processor = backbone.load_processor(recipe.backbone, recipe.the_task)
    model = backbone.build_meta_model(recipe.backbone, recipe.head, recipe.the_task, processor, len(recipe.tasks))
    if model is None:
        return
    if recipe.published_as == "adapter" and isinstance(model, Edited):
        raise ModelError(
            f"publish.as: is adapter, but transformers has no class of {model.config.model_type} for {recipe.task} to load it "
            f"onto; use publish.as=merged"
        )
    model, _ = edit.edit(model, edits, processor, inputs.blank)
    inputs.check_limit(model, recipe.data.max_length)
    fitting_masks(recipe, model)
    head_names = head.parameter_names(model, recipe.head.new)
    depths = layers.depths(model, head_names)
    choice, freeze = recipe.layers, as_list(recipe.layers.freeze)
    try:
        with torch.device("meta"):
            fixed: dict[str, Any] = {"lora_fa": choice.lora_fa}
            adapted = layers.adapt(model, recipe.train_layers, choice.adapter, depths, head_names, freeze, **fixed)
        layers.param_groups(adapted, depths, 1.0, 0.0, **lr_rules(choice))
    except (RuntimeError, ModelError) as error:
        if isinstance(error, ModelError) and not isinstance(error.__cause__, RuntimeError):
            raise
        return  # an adapter initialised from the weights, which are missing here: the run itself will check it
    check_turns(recipe, adapted, depths)


def lr_rules(choice: Layers) -> dict[str, Any]:
    """The arguments of `layers.param_groups` that a recipe's `layers` sets."""
    return {
        "layer_decay": choice.layer_decay,
        "head_lr_scale": choice.head_lr_scale,
        "lr_of": choice.lr,
        "weight_decay_of": choice.weight_decay,
        "loraplus_lr_ratio": choice.loraplus_lr_ratio,
    }


def check_turns(recipe: Recipe, model: nn.Module, depths: layers.Depths) -> None:
    """Check that all layers that learn start before the run ends, as far as the recipe determines its length.

    Raises:
        ModelError: a layer would start after the end, or `surgical` should choose more depths than there are.
    """
    schedule, steps = recipe.layers.schedule, recipe.training.get("max_steps", -1)
    if schedule is None:
        return
    if schedule.type == "surgical" and schedule.blocks is not None:
        learning = {depths.of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
        layers.largest(dict.fromkeys(learning - {depths.head}, 0.0), schedule.blocks)
    epochs = None if steps > 0 else recipe.training.get("num_train_epochs", 3)
    layers.check_begins(model, depths, layers.begins(schedule, depths.blocks), epochs, steps if steps > 0 else None)
