"""Load a pretrained model, its config and its processor through transformers' Auto classes, and check that all weights loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from hfft.backbone import cross_modal, masked_images, own_head, published_code
from hfft.backbone.load_checks import check_dropout, check_whole
from hfft.backbone.locate import SAFE, fetched, loading, source
from hfft.backbone.published_code import bare_class
from hfft.backbone.word_vectors import build
from hfft.errors import ModelError
from hfft.head import dropout_entry
from hfft.hub.errors import reading
from hfft.modeling_inputs import Patches
from hfft.tasks.labels import Labels
from hfft.tasks.problem import MaskedPatches
from hfft.tasks.table import Task
from hfft.wording import nearest

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone
    from hfft.head.spec import Head


def load_tokenizer(backbone: Backbone) -> Any:
    """The tokenizer of a model that reads images and texts.

    Raises:
        BadInput: it has none.
    """
    with reading(f"the tokenizer of {backbone.name}", source(backbone.name)):
        return fetched(
            backbone.name,
            lambda name: transformers.AutoTokenizer.from_pretrained(name, revision=backbone.revision, **SAFE),
        )


def load_processor(backbone: Backbone, task: Task, max_length: int | None = None) -> Any:
    """The backbone's tokenizer or image processor, ready for batches.

    Raises:
        BadInput: the model is not there, or has no processor for the task.
    """
    if build.from_file(backbone):
        processor = build.tokenizer_of_file(backbone)
    else:
        with reading(f"the {task.modality.name} processor of {backbone.name}", source(backbone.name)):
            processor = (
                made
                if (made := _make_processor(backbone, task)) is not None
                else fetched(
                    backbone.name,
                    lambda name: task.modality.load_processor(
                        name, revision=backbone.revision, **backbone.processor, **SAFE
                    ),
                )
            )
    for key in backbone.processor:
        if not hasattr(processor, key):
            known = list(processor.to_dict()) if hasattr(processor, "to_dict") else list(processor.init_kwargs)
            raise ModelError(
                f"backbone.processor.{key}: {type(processor).__name__} has no such entry{nearest(key, known)}"
            )
    task.modality.inputs.ready(processor)
    if max_length is not None:
        processor.model_max_length = max_length
    _forget_code(processor)
    return processor


def _make_processor(backbone: Backbone, task: Task) -> Any:
    """The processor of a model that was published without one for the task; None for others."""
    cross, inputs = backbone.cross_modal, task.modality.inputs
    if not task.modality.processor_made:
        return None if cross is None else cross_modal.make_processor(backbone)
    config = load_published_config(backbone)
    if getattr(config, "own_head", None):  # hfft has saved it with one
        return None
    vars(config).update(backbone.config)
    length, channels = (None, None) if cross is None else (cross.length, cross.channels)
    return inputs.make_processor(config, length, channels, **backbone.processor)


def _forget_code(loaded: Any) -> None:
    """Remove references to the source repository's code, so that saving does not write them."""
    for held in (vars(loaded), getattr(loaded, "init_kwargs", {})):
        held.pop("auto_map", None)


def load_config(backbone: Backbone, head: Head, task: Task, labels: Labels, processor: Any = None) -> PretrainedConfig:
    """The backbone's config with the recipe's overrides and the new task's labels.

    Raises:
        BadInput: the model is not there, or its config has no such entry.
    """
    config = own_head.tower_of(masked_images.encoder_of(load_published_config(backbone), task), task)
    _forget_code(config)
    vars(config).pop("edited_for", None)
    if not keeps_structure(backbone, head, config):
        if getattr(config, "edits", None):
            raise ModelError(
                f"{backbone.name} was edited by hfft, which a new head does not know; add head.keep_known=true, or name the "
                f"backbone that was edited"
            )
        vars(config).pop("own_head", None)
    if backbone.cross_modal is not None:
        cross_modal.set_input(config, backbone, task)
    known = [*config.to_dict(), *config.attribute_map]
    for key, value in backbone.config.items():
        if key not in known:
            raise ModelError(f"backbone.config.{key}: {config.model_type} has no such entry{nearest(key, known)}")
        try:
            setattr(config, key, value)
        except StrictDataclassError as error:
            raise ModelError(f"backbone.config.{key}: {str(error).splitlines()[-1].strip()}") from error
    if head.dropout is not None and not own_head.wanted(backbone, head, task, config):
        setattr(config, dropout_entry(config), head.dropout)
    if task.labelled:
        # transformers' own names for unnamed outputs
        names = labels.names or [f"LABEL_{i}" for i in range(labels.size)]
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}
        config.problem_type = None if labels.tasks else labels.problem
        if config.num_labels != labels.size:  # PVT keeps a number of its own beside the names
            config.num_labels = labels.size
    elif task.problem == MaskedPatches.name:
        masked_images.fit_decoder(config, fixed="encoder_stride" in backbone.config)
    if processor is not None:
        task.modality.inputs.fit_config(config, processor)
    return config


def load_model(backbone: Backbone, head: Head, task: Task, labels: Labels, processor: Any = None) -> PreTrainedModel:
    """The backbone with the stock head for the task's labels: every weight except the head's must be the pretrained one.

    With `backbone.init: random`, the same architecture, untrained.

    Raises:
        ModelError: weights outside the head are missing or have another shape; each is listed.
        BadInput: the model is not there, has no safetensors, or has no class for the task.
    """
    config = load_config(backbone, head, task, labels, processor)
    if own_head.wanted(backbone, head, task, config):
        return own_head.put_on(_bare(backbone, head, config), head, task, labels, processor)
    if backbone.rnn is not None:
        return _rnn(auto_class(config, backbone, task)._model_mapping[type(config)], backbone, config)
    auto: Any = None if keeps_structure(backbone, head, config) else auto_class(config, backbone, task)
    dtype = getattr(torch, backbone.dtype)
    if backbone.init == "random":
        with loading(backbone.name):
            model = auto.from_config(config, dtype=dtype, **SAFE)
        check_dropout(model, head.dropout)
        return model
    with loading(backbone.name):
        options = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True, **SAFE}
        model, loaded = fetched(
            backbone.name,
            lambda name: (
                published_code.load(
                    name, config, task.auto_class_of(config), revision=backbone.revision, dtype=dtype, **options
                )
                if auto is None
                else auto.from_pretrained(name, config=config, revision=backbone.revision, dtype=dtype, **options)
            ),
        )
    check_whole(model, loaded, backbone, head)
    check_dropout(model, head.dropout)
    if task.problem == MaskedPatches.name:
        masked_images.keep_fixed(model)
    return model


def keeps_structure(backbone: Backbone, head: Head, config: PretrainedConfig) -> bool:
    """Whether a model keeps the head, and with it the edits, with which hfft saved its checkpoint (`head.keep_known`)."""
    own = getattr(config, "own_head", None) or getattr(config, "edits", None)
    return bool(own) and head.keep_known and backbone.init != "random"


def load_published(backbone: Backbone, auto_class: str) -> tuple[PreTrainedModel, set[str]]:
    """The model as it was published, with the head and the classes that it came with, and the names of tensors that its
    checkpoint lacks.

    Args:
        auto_class: name of the Auto class that loads it.

    Raises:
        BadInput: the model is not there, has no safetensors, or is none of that class.
    """
    auto, dtype = getattr(transformers, auto_class), getattr(torch, backbone.dtype)
    options: dict[str, Any] = {"revision": backbone.revision, "dtype": dtype, "use_safetensors": True, **SAFE}
    with loading(backbone.name):
        model, loaded = fetched(
            backbone.name, lambda name: auto.from_pretrained(name, output_loading_info=True, **options)
        )
    _forget_code(model.config)
    return model, {*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])}


def auto_class(config: PretrainedConfig, backbone: Backbone, task: Task) -> Any:
    """The Auto class of the task.

    Raises:
        ModelError: transformers has no model of the config's type for the task.
    """
    name = task.auto_class_of(config)
    auto = getattr(transformers, name)
    if type(config) not in auto._model_mapping:
        raise ModelError(f"{backbone.name} is a {config.model_type}, for which transformers has no {name}")
    return auto


def _bare(backbone: Backbone, head: Head, config: PretrainedConfig) -> PreTrainedModel:
    """The model without a head, with all weights pretrained."""
    dtype = getattr(torch, backbone.dtype)
    cls, kwargs = bare_class(config), own_head.without_pooler(config)
    if backbone.rnn is not None:
        return _rnn(cls, backbone, config)
    with loading(backbone.name):
        if backbone.init == "random":
            return cls._from_config(config, dtype=dtype, **kwargs)
        options: dict[str, Any] = {
            "use_safetensors": True,
            "ignore_mismatched_sizes": True,
            "output_loading_info": True,
            **kwargs,
        }
        options |= {"config": config, "revision": backbone.revision, "dtype": dtype, **SAFE}
        model, loaded = fetched(backbone.name, lambda where: cls.from_pretrained(where, **options))
    if backbone.cross_modal is not None:  # its input layer is new
        paths = [name for name, module in model.named_modules() if isinstance(module, Patches)]
        head = head.model_copy(update={"new": [*head.new, *paths]})
    check_whole(model, loaded, backbone, head)
    return model


def _rnn(cls: Any, backbone: Backbone, config: PretrainedConfig) -> PreTrainedModel:
    """A new recurrent net of a class on the backbone's word vectors."""

    def embeddings() -> Any:
        return load_published(backbone.model_copy(update={"dtype": "float32"}), "AutoModel")[0].get_input_embeddings()

    return build.rnn(cls, backbone, config, embeddings)


def load_published_config(backbone: Backbone) -> PretrainedConfig:
    """The published config, with the classes of the pretrained head; with `backbone.rnn`, that of the recurrent net.

    Raises:
        ModelError: the folder has an adapter, which transformers would put into the model, or no embedding table for a net.
    """
    if build.from_file(backbone):
        return build.config_of_file(backbone)
    if backbone.rnn is not None:
        published = load_published_config(backbone.model_copy(update={"rnn": None}))
        return build.config_of_model(backbone, published)
    if (Path(source(backbone.name)) / "adapter_config.json").is_file():
        raise ModelError(
            f"backbone.name: {backbone.name} is an adapter; name its backbone here, and continue it with "
            f"layers.adapter={{from: {backbone.name}}}"
        )
    with loading(backbone.name):
        return fetched(
            backbone.name,
            lambda name: (
                published_code.stock_config(name, backbone.revision)
                or AutoConfig.from_pretrained(name, revision=backbone.revision, **SAFE)
            ),
        )
