"""A model's image preprocessing, learned from its processor by trial and done on whole batches on the device.

Images are transferred as `uint8` at their stored size. Resizing, cropping and normalisation are found by trial: candidates
are read from the processor's settings, levels from its output for plain colours, and a candidate is used only if it
agrees with the processor on probe images of several shapes. If none does, the processor itself is used; this includes
RGBA, where PIL weights colours by alpha when resizing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hfft.data.image_processor import channels, processed

LARGE = 1_000_000  # pixels above which an image is resized by the worker, because transferring it would cost more
# Largest allowed difference from the processor in levels of 0 to 255, maximum and mean. Pictures differ only by rounding.
# In noise, some of PIL's resizes, which start with the other direction, clip at other places; a wrong filter is off by 5
# on average.
PICTURE, NOISE = (2.5, 0.25), (30, 0.6)
PROBES = ((24, 31), (97, 64), (64, 64), (230, 351))  # heights and widths

_MODES = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}  # PIL's numbers; others are left to the processor
_MIXED = (40, 110, 200, 160)  # one level per channel, to find the order of channels in the output


@dataclass(frozen=True)
class Sizes:
    """(height, width, whether already at the model's size) of each image in a batch; no container, so it stays on the host."""

    each: tuple[tuple[int, int, bool], ...]


@dataclass(frozen=True)
class Pixels:
    """An image processor as a function of batches.

    Attributes:
        size: (height, width) to resize to, one number for the shorter edge, or None.
        crop: (height, width) of the central crop, or None.
        mode: interpolation mode of `torch.nn.functional.interpolate`.
        order: order of the channels in the model's input.
        scale, shift: per channel, the model's input is level * scale + shift.
    """

    size: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    mode: str
    order: tuple[int, ...] = (0, 1, 2)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    shift: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def black_and_white(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The values of the model's input for levels 0 and 255, per channel."""
        return self.shift, tuple(255 * a + b for a, b in zip(self.scale, self.shift, strict=True))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A packed batch with `pixel_values` as the model takes them, (B, C, H, W) in float32; other batches unchanged."""
        if "sizes" not in batch:
            return batch
        rest = {name: value for name, value in batch.items() if name != "sizes"}
        return {**rest, "pixel_values": self.scaled(self.fitted(batch["pixel_values"], batch["sizes"]))}

    def fitted(self, packed: Tensor, sizes: Sizes) -> Tensor:
        """The images (B, C, H, W) of a packed batch at the model's size, in levels; images of equal size are resized together."""
        if len(set(sizes.each)) == 1:
            height, width, done = sizes.each[0]
            images = packed.view(-1, height, width, len(self.scale)).permute(0, 3, 1, 2)
            return images if done else self.fit(images)
        single = list(unpacked(packed, sizes, len(self.scale)))
        groups: dict[tuple[int, int, bool], list[int]] = {}
        for i, size in enumerate(sizes.each):
            groups.setdefault(size, []).append(i)
        fitted: list[Tensor] = [packed] * len(single)
        for size, members in groups.items():
            images = torch.stack([single[i] for i in members])
            for i, image in zip(members, images if size[2] else self.fit(images), strict=True):
                fitted[i] = image
        return torch.stack(fitted)

    def fit(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in uint8, resized and cropped."""
        height, width = images.shape[-2:]
        size = self.size
        if isinstance(size, int):
            short, long = size, int(size * max(height, width) / min(height, width))
            size = (long, short) if width <= height else (short, long)
        if size is not None and size != (height, width):
            images = resized(images, size, self.mode)
        return images if self.crop is None else cropped(images, *self.crop)

    def scaled(self, levels: Tensor) -> Tensor:
        """Levels (B, C, H, W) converted to the model's inputs."""
        if self.order != tuple(range(len(self.order))):
            levels = torch.stack([levels[:, channel] for channel in self.order], 1)
        values = levels.to(torch.float32, memory_format=torch.contiguous_format)
        return values.mul_(_channels(self.scale, levels.device)).add_(_channels(self.shift, levels.device))


@functools.lru_cache(maxsize=16)
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """One number per channel, (1, C, 1, 1), copied to the device only once: a copy from pageable memory blocks."""
    with torch.inference_mode(False):  # also used in training
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


def resized(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Images (B, C, H, W) in uint8 at another size: first the width, then the height, rounded to whole levels after each.

    On the CPU torch has kernels for this, which transformers' torchvision processors use; elsewhere both passes are
    computed in float32 and rounded.
    """
    if mode == "nearest-exact":
        return F.interpolate(images, size, mode=mode)
    if images.device.type == "cpu":
        return F.interpolate(images, size, mode=mode, antialias=True)
    return two_passes(images, size, mode)


def two_passes(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """`resized` in float32, rounded to whole levels after each pass."""
    values = images.float()
    for step in ((images.shape[-2], size[1]), size):
        if tuple(values.shape[-2:]) != step:
            values = F.interpolate(values, step, mode=mode, antialias=True).round_().clamp_(0, 255)
    return values


def cropped(images: Tensor, height: int, width: int) -> Tensor:
    """The centre of images (B, C, H, W), padded with black if they are smaller."""
    tall, wide = images.shape[-2:]
    down, across = max(height - tall, 0), max(width - wide, 0)
    above, left = -(-down // 2), -(-across // 2)
    if down or across:
        images = F.pad(images, (left, across - left, above, down - above))
    top, side = max(tall - height, 0) // 2, max(wide - width, 0) // 2
    return images[..., top : top + height, side : side + width]


# --- batches


def pack(images: Sequence[np.ndarray], fitted: Sequence[bool] | None = None) -> dict[str, Any]:
    """Images (H, W, C) in uint8, of any sizes, as one tensor that is transferred at once, and their sizes."""
    done = fitted or [False] * len(images)
    sizes = Sizes(tuple((*image.shape[:2], whole) for image, whole in zip(images, done, strict=True)))
    packed = np.concatenate([image.reshape(-1) for image in images])
    return {"pixel_values": torch.from_numpy(packed), "sizes": sizes}


def unpacked(packed: Tensor, sizes: Sizes, channels: int = 3) -> Iterator[Tensor]:
    """The images (C, H, W) of a packed batch."""
    start = 0
    for height, width, _ in sizes.each:
        end = start + height * width * channels
        yield packed[start:end].view(height, width, channels).permute(2, 0, 1)
        start = end


# --- learning from the processor


def learn(processor: Any) -> Pixels | None:
    """A function that agrees with the processor within a level or two of rounding; None if none is found."""
    count = channels(processor)
    probes = [(i, bound) for size in PROBES for i, bound in zip(_probe(*size, count), (PICTURE, NOISE), strict=True)]
    expected = functools.cache(lambda i: _processed(processor, probes[i][0]))
    try:
        order, scale, shift = _levels(processor)
        for size, crop in _geometries(processor):
            mode = _MODES.get(int(getattr(processor, "resample", None) or 0))
            found = Pixels(size, crop, mode or "", order, scale, shift)
            if mode and all(_agree(found, *probe, expected(i)) for i, probe in enumerate(probes)):
                return found
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError):
        pass  # the processor does not take single images of any size
    return None


def _probe(height: int, width: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, channels), smooth except for one edge, and noise."""
    down, across = np.mgrid[0:height, 0:width] / 6
    waves = [127 + 100 * np.sin(across + channel) * np.cos(down - channel) for channel in range(count)]
    picture = np.where((across > width / 20)[..., None], np.stack(waves, -1), 30).astype(np.uint8)
    return picture, np.random.default_rng(0).integers(0, 256, picture.shape, dtype=np.uint8)


def _processed(processor: Any, image: np.ndarray) -> Tensor:
    outputs = processed([Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)], processor)
    if set(outputs) != {"pixel_values"} or outputs["pixel_values"].dim() != 4:
        raise ValueError("the processor returns more than one image")
    return outputs["pixel_values"]


def _levels(processor: Any) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """The order of channels and the scale and shift of each, from the outputs for plain black, white and a mixed colour."""

    count = channels(processor)

    def middle(colour: Sequence[int]) -> np.ndarray:
        values = _processed(processor, np.broadcast_to(np.array(colour, np.uint8), (64, 64, count)).copy())[0]
        return values[:, values.shape[1] // 2, values.shape[2] // 2].double().numpy()

    mixed, black, white = _MIXED[:count], middle([0] * count), middle([255] * count)
    scale = (white - black) / 255
    order = tuple(int(np.abs(np.array(mixed) - level).argmin()) for level in (middle(mixed) - black) / scale)
    return order, tuple(scale.tolist()), tuple(black.tolist())


def _geometries(processor: Any) -> Iterator[tuple[tuple[int, int] | int | None, tuple[int, int] | None]]:
    """Candidates for the meaning of the settings: sizes and crops that known processors use."""

    def entry(name: str, key: str) -> int | None:
        value: Any = getattr(processor, name, None)
        return value.get(key) if hasattr(value, "get") else getattr(value, key, None)

    def both(name: str) -> tuple[int, int] | None:
        height, width = entry(name, "height"), entry(name, "width")
        return (height, width) if height and width else None

    crop = both("crop_size") if getattr(processor, "do_center_crop", False) else None
    if not getattr(processor, "do_resize", False):
        yield None, crop
        return
    if exact := both("size"):
        yield exact, crop
    if short := entry("size", "shortest_edge"):
        yield short, crop
        yield (short, short), crop
        if share := getattr(processor, "crop_pct", None):
            yield int(short / share), (short, short)
        yield int(256 / 224 * short), crop


def _agree(found: Pixels, image: np.ndarray, bound: tuple[float, float], expected: Tensor) -> bool:
    values = found(pack([image]))["pixel_values"]
    if values.shape != expected.shape:
        return False
    apart = (values - expected).abs() / torch.tensor(found.scale).abs().view(1, -1, 1, 1)
    return bool(apart.max() <= bound[0] and apart.mean() <= bound[1])
