"""Load a pretrained model, its config and its processor through transformers' Auto classes, and prove it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, PretrainedConfig, PreTrainedModel

from hfft import head
from hfft.access import reading
from hfft.errors import ModelError, listing, nearest
from hfft.tasks import Labels, Task

if TYPE_CHECKING:
    from hfft.recipe import Backbone, Recipe

# Remote code stays off, and weights come as safetensors or not at all: a pickle can run code when it is read.
_SAFE = {"trust_remote_code": False}


def source(name: str) -> str:
    """Where a backbone is: the folder of one that hfft ships (`nano-vit`, `nano-bert`), else the name itself."""
    shipped = Path(__file__).parent / "nano" / name.removeprefix("nano-")
    return str(shipped) if name.startswith("nano-") and (shipped / "config.json").is_file() else name


def load_processor(backbone: Backbone, task: Task, max_length: int | None = None) -> Any:
    """The tokenizer or image processor that belongs to the backbone; a tokenizer without padding pads with its end token.

    Raises:
        BadInput: the model is not there, or has no processor for the task.
    """
    auto = AutoImageProcessor if task.modality == "image" else AutoTokenizer
    with reading(f"the {task.modality} processor of {backbone.name}"):
        processor = auto.from_pretrained(
            source(backbone.name), revision=backbone.revision, **backbone.processor, **_SAFE
        )
    for key in backbone.processor:
        if not hasattr(processor, key):
            known = list(processor.to_dict()) if hasattr(processor, "to_dict") else list(processor.init_kwargs)
            raise ModelError(f"backbone.processor.{key}: {type(processor).__name__} has no such entry{nearest(key, known)}")
    if task.modality == "text":
        if processor.pad_token is None:
            processor.pad_token = processor.eos_token
        if max_length is not None:
            processor.model_max_length = max_length
    return processor


def load_config(recipe: Recipe, labels: Labels, processor: Any = None) -> PretrainedConfig:
    """The backbone's config with the recipe's overrides and the new task's labels.

    Raises:
        BadInput: the model is not there, or its config has no such entry.
    """
    backbone = recipe.backbone
    config = load_published_config(recipe)
    overrides = dict(backbone.config)
    if recipe.head.dropout is not None:
        overrides[head.dropout_entry(config)] = recipe.head.dropout
    for key, value in overrides.items():
        if not hasattr(config, key):
            known = list(config.to_dict())
            raise ModelError(f"backbone.config.{key}: {config.model_type} has no such entry{nearest(key, known)}")
        setattr(config, key, value)
    if recipe.the_task.labelled:
        config.num_labels = labels.size
        if labels.names:
            config.id2label, config.label2id = labels.id2label, labels.label2id
        config.problem_type = labels.problem
    if recipe.the_task.modality == "text" and processor is not None:
        text = config.get_text_config()
        if getattr(text, "pad_token_id", None) is None:  # decoders need it to find the last token of each row
            text.pad_token_id = processor.pad_token_id
    return config


def load_model(recipe: Recipe, labels: Labels, processor: Any = None) -> PreTrainedModel:
    """The backbone with the stock head for the task's labels: every weight but the head's is the pretrained one.

    With `backbone.init: random` the same architecture untrained.

    Raises:
        ModelError: weights other than the head's are missing or have another shape; each is listed.
        BadInput: the model is not there, holds no safetensors, or has no class for the task.
    """
    config, task, backbone = load_config(recipe, labels, processor), recipe.the_task, recipe.backbone
    auto = getattr(transformers, task.auto_class)
    dtype = getattr(torch, backbone.dtype)
    if type(config) not in auto._model_mapping:
        raise ModelError(f"{backbone.name} is a {config.model_type}, which transformers has no {task.auto_class} for")
    if backbone.init == "random":
        with reading(f"model {backbone.name}"):
            return auto.from_config(config, dtype=dtype, **_SAFE)
    with reading(f"model {backbone.name}"):
        model, loaded = auto.from_pretrained(
            source(backbone.name),
            config=config,
            revision=backbone.revision,
            dtype=dtype,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **_SAFE,
        )
    new = head.parameter_names(model, extra=recipe.head.new)
    missing = sorted(set(loaded["missing_keys"]) - new)
    mismatched = sorted(
        f"{n} {tuple(a)} in the checkpoint, {tuple(b)} in the model"
        for n, a, b in loaded["mismatched_keys"]
        if n not in new
    )
    if missing or mismatched:
        lists = [f"missing: {listing(missing)}"] * bool(missing) + [f"of another shape: {listing(mismatched)}"] * bool(
            mismatched
        )
        module = missing[0].rsplit(".", 1)[0] if missing else ""
        raise ModelError(
            f"{backbone.name} does not hold the whole backbone; {'; '.join(lists)}; if these are meant to start untrained, "
            f"name their module in head.new{f' (head.new=[{module}])' if module else ''}"
        )
    return model


def load_published_config(recipe: Recipe) -> PretrainedConfig:
    """The config as it was published, with the classes the pretrained head knows."""
    with reading(f"model {recipe.backbone.name}"):
        return AutoConfig.from_pretrained(source(recipe.backbone.name), revision=recipe.backbone.revision, **_SAFE)
