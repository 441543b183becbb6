"""Models that complete masked images: their decoder's size, and their encoder as a model that classifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForImageClassification, PretrainedConfig, PreTrainedModel

from hfft.errors import ModelError

if TYPE_CHECKING:
    from hfft.tasks.table import Task

# Model type -> that of its encoder, where transformers classifies with the encoder alone: the weights have the same names.
ENCODERS = {"vit_mae": "vit"}


def encoder_of(config: PretrainedConfig, task: Task) -> PretrainedConfig:
    """The config of a masked autoencoder's encoder for a task with labels; any other config unchanged.

    transformers classifies with no ViTMAE, whose bare model hides patches at random in every pass, but its encoder is a ViT.
    """
    if not task.labelled or config.model_type not in ENCODERS:
        return config
    cls = CONFIG_MAPPING[ENCODERS[config.model_type]]
    known = cls().to_dict().keys() - {"model_type", "architectures", "transformers_version"}
    return cls(**{key: value for key, value in config.to_dict().items() if key in known})


def encoder_class(config: PretrainedConfig) -> str:
    """The class of plain transformers that classifies with the encoder of a model that completes images."""
    auto: Any = AutoModelForImageClassification
    if config.model_type not in ENCODERS:
        return str(auto.__name__)
    return str(auto._model_mapping[CONFIG_MAPPING[ENCODERS[config.model_type]]].__name__)


def fit_decoder(config: PretrainedConfig, fixed: bool = False) -> None:
    """Make a model's new decoder enlarge its last map to the image, as the pretrained one does.

    Args:
        fixed: keep the factor that the config states.

    Raises:
        ModelError: the images are not square, or no whole number of patches.
    """
    sizes: dict[str, Any] = {key: getattr(config, key, None) for key in ("image_size", "patch_size")}
    if None in sizes.values():  # no model of images: its Auto class says so
        return
    for key, size in sizes.items():
        if isinstance(size, list | tuple) and len(set(size)) > 1:
            raise ModelError(
                f"backbone.config.{key}: is {' x '.join(map(str, size))}, but only squares can be masked; use one number"
            )
    image, patch = (size if isinstance(size, int) else size[0] for size in sizes.values())
    stages = len(getattr(config, "depths", ())) or 1
    step = patch * 2 ** (stages - 1)  # each further stage halves the map
    if image % step or image < step:
        near = max(image // step, 1) * step
        raise ModelError(
            f"backbone.config.image_size: is {image}, no multiple of the {step} pixels that {config.model_type} completes as a "
            f"whole; use {near} or {near + step}, and the same in backbone.processor.size"
        )
    if hasattr(config, "encoder_stride") and not fixed:
        config.encoder_stride = step


def keep_fixed(model: PreTrainedModel) -> None:
    """Freeze what the architecture itself freezes, such as ViTMAE's sinusoids: transformers loads them as if they learned."""
    with torch.device("meta"):
        made = type(model)(model.config)
    for name, parameter in made.named_parameters():
        if not parameter.requires_grad:
            model.get_parameter(name).requires_grad_(False)
