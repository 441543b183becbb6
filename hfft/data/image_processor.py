"""Images in the form that an image processor expects: grey, RGB or RGBA, depending on the channels that it normalises."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def channels(processor: Any) -> int:
    """Number of channels that the processor normalises; 3 if it does not say."""
    means = getattr(processor, "image_mean", None)
    return len(means) if isinstance(means, (list, tuple)) and len(means) in _MODES else 3


def in_mode(image: Image.Image, processor: Any) -> Image.Image:
    """The image with the channels that the processor normalises."""
    return image.convert(_MODES[channels(processor)])


def levels(image: Image.Image) -> np.ndarray:
    """The image as `(H, W, channels)` in uint8."""
    return np.asarray(image).reshape(image.height, image.width, -1)


def as_input(image: Image.Image, processor: Any) -> Any:
    """The processor's input: the image, or an `(H, W, channels)` array if its channels would be ambiguous."""
    image = in_mode(image, processor)
    return image if image.mode == "RGB" else levels(image)


def processed(images: list[Image.Image], processor: Any) -> Any:
    """The batch that the processor makes of images."""
    inputs = [as_input(image, processor) for image in images]
    options = {} if isinstance(inputs[0], Image.Image) else {"input_data_format": "channels_last"}
    return processor(images=inputs, return_tensors="pt", **options)


def resize(processor: Any, size: int | list[int]) -> None:
    """Set an image processor to another image size."""
    if processor is None:
        return
    height, width = size if isinstance(size, list) else (size, size)
    given, crop = dict(processor.size or {}), dict(getattr(processor, "crop_size", None) or {})
    cropping = bool(crop) and getattr(processor, "do_center_crop", True)
    old = crop.get("height") if cropping else None
    if "shortest_edge" in given:
        side = min(height, width)
        processor.size = {"shortest_edge": round(given["shortest_edge"] * side / old) if old else side}
    else:
        scale = given.get("height", old) / old if old else 1
        processor.size = {"height": round(height * scale), "width": round(width * scale)}
    if crop:
        processor.crop_size = {"height": height, "width": width}


def rechannel(processor: Any, count: int) -> None:
    """Set an image processor to another number of channels."""
    if processor is None:
        return
    for key in ("image_mean", "image_std"):
        values = list(getattr(processor, key, None) or [0.5])
        setattr(
            processor,
            key,
            [sum(values) / len(values)] if count == 1 else [values[i % len(values)] for i in range(count)],
        )
    if getattr(processor, "do_convert_rgb", None):
        processor.do_convert_rgb = False
