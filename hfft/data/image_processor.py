"""Images in the form that an image processor expects: 8 bits a channel, grey, RGB or RGBA by the channels that it normalises."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

VERSION = 2  # version of `in_mode`: what is stored of images converted in another way is not used
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_DEEP = {"I": "32-bit integer", "F": "float", **dict.fromkeys(("I;16", "I;16L", "I;16B", "I;16N"), "16-bit")}
_WHITES = (2**8 - 1, 2**12 - 1, 2**16 - 1)


def channels(processor: Any) -> int:
    """Number of channels that the processor normalises; 3 if it does not say."""
    means = getattr(processor, "image_mean", None)
    return len(means) if isinstance(means, (list, tuple)) and len(means) in _MODES else 3


def in_mode(image: Image.Image, processor: Any) -> Image.Image:
    """The image with the channels that the processor normalises, as `convert` makes it."""
    return convert(image, _MODES[channels(processor)])


def convert(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode `L`, `RGB` or `RGBA`: deeper levels are scaled to 8 bits, and transparent pixels lie over white.

    Levels of 16-bit, 32-bit integer and float images are divided by a white level: 1 for floats from 0 to 1, otherwise the
    smallest of 255, 4095 and 65535 that no level exceeds. If there is none, since a level is negative or above 65535, or
    if all are below 16, they are scaled from the image's smallest to its largest level. Levels that are not finite
    become the smallest or largest one. With mode `RGBA` the transparency is kept.
    """
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode in _DEEP:
        image = _to_8_bits(image)
    if mode != "RGBA" and image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image.convert(mode)


def depth_note(image: Image.Image) -> str:
    """How `convert` scales the levels of an image of more than 8 bits; empty for others."""
    if image.mode not in _DEEP:
        return ""
    black, white = _black_and_white(np.asarray(image))
    known = black == 0 and white in (1, *_WHITES)
    return f"{_DEEP[image.mode]} image, scaled to 8 bits from {f'0..{white:g}' if known else 'its own range'}"


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    black, white = _black_and_white(values)
    span = max(white - black, np.finfo(np.float64).tiny)
    levels = np.nan_to_num((values.astype(np.float64) - black) / span, nan=0, posinf=1, neginf=0)
    levels = (levels.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    if isinstance(transparent := image.info.get("transparency"), int):  # a level of a PNG, not one of its 8 bits
        levels[values == transparent] = 255
    return Image.fromarray(levels)


def _black_and_white(values: np.ndarray) -> tuple[float, float]:
    """The levels that become 0 and 255."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return 0.0, 1.0
    least, most = float(finite.min()), float(finite.max())
    if values.dtype.kind == "f" and least >= 0 and most <= 1:
        return 0.0, 1.0
    if least >= 0 and 16 <= most <= _WHITES[-1]:
        return 0.0, float(next(white for white in _WHITES if most <= white))
    return least, most


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
