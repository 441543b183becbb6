"""Before there is data: what is hidden of the images that a model completes, and whether it completes them."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from transformers import PreTrainedModel

from hfft.data.image_processor import in_mode, processed
from hfft.data.patch_masks import DRAW, MaskedCollate, MaskedTargets, PatchMasks, edge, patch_masks
from hfft.errors import ModelError
from hfft.recipe import Recipe
from hfft.strategy import logits_of
from hfft.tasks.problem.masked_patches import MaskedPatches
from hfft.wording import first_line

SHAPES = ((64, 64), (96, 64))  # an image of another shape shows whether the processor makes squares of all


def fitting_masks(recipe: Recipe, model: PreTrainedModel) -> PatchMasks | None:
    """What is hidden of each image, from the config alone; None for other tasks.

    A `data.mask_ratio` becomes that of a model which hides patches by itself.

    Raises:
        ModelError: the masks do not fit the model.
    """
    if recipe.problem != MaskedPatches.name:
        return None
    config: Any = model.config
    if hasattr(config, "mask_ratio") and recipe.data.mask_ratio is not None:
        config.mask_ratio = recipe.data.mask_ratio
    return patch_masks(config, recipe.data)


def masks_of(recipe: Recipe, model: PreTrainedModel, processor: Any, divided: bool = False) -> PatchMasks | None:
    """What is hidden of each image, after a test that the model completes a blank one; None for other tasks.

    Args:
        divided: whether each process may hold only a part of the weights; the model is not run then.

    Raises:
        ModelError: masks, images and model do not fit together.
    """
    masks = fitting_masks(recipe, model)
    if masks is None:
        return None
    images = _blank(processor, edge(model.config.image_size))
    if not divided and all(p.dtype == torch.float32 and not p.is_meta for p in model.parameters()):
        _check_run(model, images, masks)
    return masks


def _blank(processor: Any, wanted: int) -> torch.Tensor:
    """A processed image, `(1, C, H, W)`.

    Raises:
        ModelError: images of some shape do not become squares of the model's size.
    """
    for shape in SHAPES:
        found = processed([in_mode(Image.new("RGB", shape, (90, 120, 150)), processor)], processor)["pixel_values"]
        height, width = found.shape[-2:]
        if (height, width) != (wanted, wanted):
            raise ModelError(
                f"backbone.processor: makes {height} x {width} pixels of an image of {shape[1]} x {shape[0]}, but the model "
                f"completes {wanted} x {wanted}; set backbone.processor.size={{height: {wanted}, width: {wanted}}}"
            )
    return found


def _check_run(model: PreTrainedModel, images: torch.Tensor, masks: PatchMasks) -> None:
    """Raise ModelError if the model does not complete an image."""
    batch = MaskedCollate(lambda rows: {"pixel_values": images.to(model.device)}, masks)([{DRAW: 0}])
    batch = MaskedTargets(None, masks)({key: value.to(model.device) for key, value in batch.items()})
    labels, kind, training = batch.pop("labels"), model.config.model_type, model.training
    try:
        with torch.no_grad():
            completed = logits_of(model.eval()(**batch))
    except Exception as error:
        raise ModelError(
            f"backbone.name: {kind} cannot be run on masked images ({first_line(error)}); use another model"
        ) from error
    finally:
        model.train(training)
    if tuple(completed.shape) not in (tuple(images.shape), tuple(labels.shape)):
        raise ModelError(
            f"backbone.name: {kind} makes {tuple(completed.shape)} of masked images of {tuple(images.shape)}; use another model, "
            f"or leave backbone.config.encoder_stride out"
        )
