"""hfft's own head on a bare model: if the recipe asks for one, or if transformers has no class for the task."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel

from hfft.backbone.published_code import bare_class, with_head
from hfft.errors import ModelError
from hfft.head import reinitialise
from hfft.modeling import OwnHead
from hfft.modeling_inputs import ChannelSeries
from hfft.modeling_tasks import TaskHeads
from hfft.wording import first_line

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone
    from hfft.head.spec import Head
    from hfft.tasks.labels import Labels
    from hfft.tasks.table import Task


def wanted(backbone: Backbone, head: Head, task: Task, config: PretrainedConfig) -> bool:
    """Whether to use hfft's own head: the recipe asks for it, or transformers has no class for the task.

    Raises:
        ModelError: no bare model takes the task's inputs either.
    """
    bare = bare_class(config)
    name = task.auto_class_of(config)
    stock = type(config) in getattr(transformers, name)._model_mapping
    stock = stock and not getattr(config, "cross_modal", None)
    if stock and not head.own:
        return False
    reads = getattr(bare, "main_input_name", None) if task.labelled else None
    if reads in task.modality.input_names:
        return True
    kind = config.model_type
    if stock:
        raise ModelError(
            f"head.kind: transformers' bare {kind} needs other inputs than {task.modality.plural}; leave it out"
        )
    raise ModelError(f"{backbone.name} is a {kind}, for which transformers has no {name}")


def tower_of(config: PretrainedConfig, task: Task) -> PretrainedConfig:
    """The config of the text tower of a model of pairs, such as CLIP, for a task of texts; any other config unchanged.

    The image tower needs no choice: transformers has a class that classifies images with it.
    """
    text = getattr(config, "text_config", None)
    pairs = text is not None and getattr(config, "vision_config", None) is not None
    stock = type(config) in getattr(transformers, task.auto_class)._model_mapping
    return text if task.modality.tokens and task.labelled and pairs and not stock and bare_class(text) else config


def without_pooler(config: PretrainedConfig) -> dict[str, bool]:
    """The argument that builds a bare model without its own pooler, if it has one: the head does not use it."""
    return {"add_pooling_layer": False} if "add_pooling_layer" in signature(bare_class(config)).parameters else {}


def put_on(base: PreTrainedModel, head: Head, task: Task, labels: Labels, processor: Any) -> PreTrainedModel:
    """The bare model with the recipe's head; without weights if the model is on the meta device.

    Raises:
        ModelError: the pooling does not fit the model's hidden states, or the model cannot be run.
    """
    config, shape = base.config, _states(base, task, processor)
    pooling = head.pooling or _usual_pooling(base, len(shape))
    if len(shape) == 4 and pooling in ("cls", "last"):
        raise ModelError(
            f"head.pooling: {config.model_type} returns a map (C, H, W), which has no {pooling} position; use mean or max"
        )
    given = {"kind": head.kind or "linear", "pooling": pooling, "dropout": head.dropout or 0.0}
    given |= {"features": shape[1] if len(shape) == 4 else shape[-1], "hidden": head.hidden}
    given |= {"activation": head.activation, "norm": head.norm}
    given["tasks"] = [span.start for span in labels.spans.values()] if head.per_task else None
    config.own_head = {key: value for key, value in given.items() if value is not None}
    head_class = TaskHeads if head.per_task else OwnHead
    with torch.device("meta"):
        model = with_head(bare_class(config), head_class)(config)
    if base.device.type != "meta":
        model.head = head_class(config.num_labels, **config.own_head).to(base.dtype)
        setattr(model, model.base_model_prefix, base)
        reinitialise(model, {name for name in model.state_dict() if name.startswith("head.")})
    return model.eval()


def _states(base: PreTrainedModel, task: Task, processor: Any) -> tuple[int, ...]:
    """The shape of a bare model's first output: found by running it, or from its config if it cannot be run."""
    sizes = getattr(base.config, "hidden_sizes", None)
    channels = base.config.num_input_channels if issubclass(type(base), ChannelSeries) else 1
    stated = (1, sizes[-1], 1, 1) if sizes else (1, 1, channels * base.config.get_text_config().hidden_size)
    if processor is None:
        return stated
    try:
        with torch.no_grad():
            batch = task.modality.inputs.blank(processor)
            return tuple(base.eval()(**{key: value.to(base.device) for key, value in batch.items()})[0].shape)
    except Exception as error:
        if base.device.type == "meta":
            return stated
        raise ModelError(f"the bare {base.config.model_type} cannot be run: {first_line(error)}") from error


def _usual_pooling(base: PreTrainedModel, dims: int) -> str:
    """Which token carries the summary: a decoder's last, an encoder's first; otherwise the mean over tokens."""
    if getattr(base.config, "cross_modal", None):  # no token stands for the whole
        return "last" if is_decoder(base.config) else "mean"
    if base.config.model_type.endswith("_text_model"):  # a text tower: its last token was trained to stand for the text
        return "last"
    if base.main_input_name == "input_ids":
        return "last" if is_decoder(base.config) else "cls"
    first = any("cls_token" in name or "class_embedding" in name for name, _ in base.named_parameters())
    return "cls" if dims == 3 and first else "mean"


def is_decoder(config: PretrainedConfig) -> bool:
    """Whether only the last token of a text has seen all others."""
    kind = type(config)
    return kind in transformers.MODEL_FOR_CAUSAL_LM_MAPPING and kind not in transformers.MODEL_FOR_MASKED_LM_MAPPING
