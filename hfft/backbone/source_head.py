"""The classifier with which a backbone was published, for methods that keep what it knows of its own classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from hfft.backbone.load import auto_class, load_published_config
from hfft.backbone.locate import fetched
from hfft.errors import ModelError
from hfft.head import output_parameters, parameter_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hfft.backbone.spec import Backbone
    from hfft.tasks.table import Task

REMEDY = "choose a backbone that was trained as a classifier, or leave the method out"


def source_model(backbone: Backbone, task: Task) -> PreTrainedModel:
    """The model in the backbone's repository, with the head that it was published with, in float32.

    Raises:
        ModelError: it has none.
    """
    name = backbone.name
    if backbone.init == "random":
        raise ModelError(
            f"{name} starts from random weights and has no classifier of its own; use backbone.init=pretrained"
        )
    if backbone.rnn is not None:
        raise ModelError(f"the recurrent net on {name} is new and has no classifier of its own; {REMEDY}")
    config = load_published_config(backbone)
    auto = auto_class(config, backbone, task)
    model, loaded = fetched(
        name,
        lambda where: auto.from_pretrained(
            where,
            config=config,
            revision=backbone.revision,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        ),
    )
    if set(output_parameters(model)) & (set(loaded["missing_keys"]) | {key for key, *_ in loaded["mismatched_keys"]}):
        raise ModelError(f"{name} has no classifier of its own; {REMEDY}")
    return model


def source_head(backbone: Backbone, task: Task) -> nn.Linear:
    """The last layer of the head in the backbone's repository, which reads the same features as the new one.

    Raises:
        ModelError: there is none, or it is not a single linear layer.
    """
    model, name = source_model(backbone, task), backbone.name
    last = output_parameters(model)
    parameters = dict(model.named_parameters())
    before = sorted((parameter_names(model) & set(parameters)) - set(last))
    weights = [parameters[key] for key, dim in last.items() if parameters[key].ndim == 2 and dim == 0]
    if before or len(weights) != 1 or model.config.num_labels < 2:
        why = f"starts at {before[0]}, a layer that the new head trains anew" if before else "is not one linear layer"
        raise ModelError(f"the classifier of {name} {why}; {REMEDY}")
    biases = [parameters[key] for key in last if parameters[key].ndim == 1]
    found = nn.Linear(weights[0].shape[1], weights[0].shape[0], bias=bool(biases))
    with torch.no_grad():
        found.weight.copy_(weights[0])
        if biases:
            found.bias.copy_(biases[0])
    return found
