"""A text transformer as the backbone of images: its config with the new input layer, and the processor that it lacks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import transformers
from transformers import PretrainedConfig

from hfft.backbone.published_code import bare_class
from hfft.errors import ModelError

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone
    from hfft.tasks.table import Task


def set_input(config: PretrainedConfig, backbone: Backbone, task: Task) -> None:
    """Store in a text transformer's config which input layer it gets (`hfft.modeling_inputs.Patches`).

    Raises:
        ModelError: the model takes no embeddings in the place of tokens, or has fewer positions than there are patches.
    """
    wanted, kind = backbone.cross_modal, config.model_type
    assert wanted is not None
    if getattr(config, "cross_modal", None):
        raise ModelError(
            f"backbone.cross_modal: {backbone.name} has such an input layer already, with its processor; leave it out"
        )
    bare = bare_class(config)
    reads = inspect.signature(bare.forward).parameters if bare is not None else {}
    if getattr(bare, "main_input_name", None) != "input_ids" or "inputs_embeds" not in reads:
        raise ModelError(
            f"backbone.cross_modal: {backbone.name} is a {kind}, which does not read embeddings of tokens; name a text "
            f"transformer such as bert or gpt2, or leave it out"
        )
    if config.is_encoder_decoder:
        raise ModelError(
            f"backbone.cross_modal: {backbone.name} is a {kind}, an encoder with a decoder, of which both read texts; name "
            f"an encoder or a decoder such as bert or gpt2"
        )
    count, most = wanted.positions, getattr(config.get_text_config(), "max_position_embeddings", None)
    if most is not None and count > most:
        raise ModelError(
            f"backbone.cross_modal.patch: is {wanted.patch}, which makes {count} patches, but {kind} has {most} positions; "
            f"raise patch, or lower image_size"
        )
    config.cross_modal = {"patch": wanted.patch, "channels": wanted.channels, "size": wanted.size}


def make_processor(backbone: Backbone) -> Any:
    """An image processor for a backbone that came without: images are resized, and levels scaled to -1..1.

    Raises:
        TypeError, ValueError: the recipe's entries do not fit it.
    """
    wanted = backbone.cross_modal
    assert wanted is not None
    height, width = wanted.size
    half = [0.5] * wanted.channels
    given = {"size": {"height": height, "width": width}, "image_mean": half, "image_std": half, **backbone.processor}
    return transformers.ViTImageProcessorPil(**given)
