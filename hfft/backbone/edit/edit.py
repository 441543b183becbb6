"""Change the structure of a pretrained model by module path, and report how far its outputs moved.

If the config can express an edit, the result is the stock architecture of that config. Other edits are listed in
`config.edits` with explicit paths and widths, and the model's class applies them when it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hfft.backbone.edit import expand_blocks, remove_blocks, reshape
from hfft.backbone.edit.insert import insert, insertions, on_device
from hfft.backbone.edit.places import matching
from hfft.backbone.edit.replace import replaced
from hfft.backbone.edit.spec import describe
from hfft.data import image_processor
from hfft.errors import ModelError
from hfft.wording import first_line

Inputs = Callable[[Any], dict[str, Tensor]]  # processor -> a batch


def edit(
    model: PreTrainedModel, edits: list[dict[str, Any]], processor: Any, inputs: Inputs
) -> tuple[PreTrainedModel, list[dict[str, Any]]]:
    """Apply the edits in order, and measure for each how far the outputs moved.

    Args:
        model: with its weights, or on the meta device, where only shapes are checked.
        processor: tokenizer or image processor; its size, channels or vocabulary are updated too.
        inputs: makes the batch on which outputs are compared, from the processor in its current state.

    Returns:
        One row per edit: `edit`, `places` (modules changed), `moved`, the relative change of the backbone's outputs
        (None if they cannot be compared), and for new tokens `ids`, their rows in the embedding table.

    Raises:
        ModelError: a path or pattern matches nothing, or an edit does not fit.
    """
    if not edits:
        return model, []
    meta, rows = model.device.type == "meta", []
    before = features(model, inputs(processor))
    for i, one in enumerate(edits):
        try:
            model, places, ids = _one(model, one, processor, lambda: inputs(processor))
        except ModelError as error:
            raise ModelError(str(error).replace("backbone.edit: ", f"backbone.edit.{i}: ", 1)) from error.__cause__
        try:
            after = None if before is None else features(model, inputs(processor), strict=True)
            if after is not None and "remove" in one:  # the head may expect other features
                features(model, inputs(processor), strict=True, whole=True)
        except Exception as error:
            raise ModelError(
                f"backbone.edit.{i}: after {describe(one)} {model.config.model_type} cannot be run: {first_line(error)}"
            ) from error
        distance = None if meta else _distance(before, after)
        if "expand" in one and distance is not None and distance > expand_blocks.SAME:
            raise ModelError(
                f"backbone.edit.{i}: {describe(one)} moves the outputs of {model.config.model_type} by {distance:.1%}, because "
                f"what a block does depends on its number; use insert with type bottleneck"
            )
        rows.append({"edit": describe(one), "places": places, "moved": distance})
        if ids:
            rows[-1]["ids"] = ids
        before = after
    return model, rows


def _one(
    model: PreTrainedModel, one: dict[str, Any], processor: Any, inputs: Callable
) -> tuple[PreTrainedModel, int, list[int]]:
    """The edited model, the number of places, and the rows of new tokens."""
    if "remove" in one:
        which = one["remove"]
        count = int(which.partition("-")[2]) if isinstance(which, str) else len(set(which))
        return remove_blocks.remove_blocks(model, which), count, []
    if "expand" in one:
        return *expand_blocks.expand_blocks(model, one["expand"], inputs), []
    if "image_size" in one:
        image_processor.resize(processor, one["image_size"])
        return reshape.image_size(model, one["image_size"]), 1, []
    if "channels" in one:
        image_processor.rechannel(processor, one["channels"])
        return reshape.channels(model, one["channels"]), 1, []
    if "tokens" in one:
        model, ids = reshape.tokens(model, processor, one["tokens"])
        return model, len(one["tokens"]), ids
    if "replace" in one:
        paths = [""] if one["replace"] == "all" else matching(model, one["replace"])
        return *replaced(model, one["replace"], paths, one["with"]), []
    specs = insertions(model, one["insert"], one["module"], inputs)
    return insert(model, specs), len(specs), []


def features(
    model: PreTrainedModel, inputs: dict[str, Tensor], strict: bool = False, whole: bool = False
) -> Tensor | None:
    """The backbone's first output, or the `whole` model's; None if the model cannot be run (some cannot on the meta device)."""
    training = model.training
    try:
        with torch.no_grad():
            model.eval()
            output = (model if whole else model.base_model)(**on_device(model, inputs))
        found = output.logits if "logits" in output else output[0]
        mask = inputs.get("attention_mask")
        padded = found.ndim == 3 and mask is not None and mask.shape == found.shape[:2]
        return found * mask[..., None].to(found.device, found.dtype) if padded and mask is not None else found
    except Exception:
        if strict:
            raise
        return None
    finally:
        model.train(training)


def _distance(before: Tensor | None, after: Tensor | None) -> float | None:
    """Relative distance between outputs; between their means over positions if the positions differ."""
    if before is None or after is None:
        return None
    if before.shape != after.shape:
        before, after = (x.mean(1) if x.ndim == 3 else x.flatten(2).mean(2) for x in (before, after))
    if before.shape != after.shape:
        return None
    before, after = before.double(), after.double()
    return float((after - before).norm() / before.norm().clamp(min=1e-30))
