"""The fifteen image corruptions of Hendrycks & Dietterich (2019, arXiv:1903.12261) at five severities, for images of any size.

They are written anew and draw other numbers, so that figures are not those of CIFAR-10-C or ImageNet-C: they are labelled
`-c(hfft)`. Each has one level per severity, near that of CIFAR-10-C for a shorter side of 32 pixels and near that of ImageNet-C
for 224, and between them in geometric proportion; lengths in pixels grow and shrink with the side beyond these. The draws are
those of (seed, row, corruption) and the same for the five severities, so that a higher one is more of the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import numpy as np
import scipy.fft
from PIL import Image
from scipy import ndimage

from hfft.data.image_processor import convert
from hfft.evaluate.corruptions import SEVERITIES

# Pixels (H, W, C) in [0, 1], a generator, one level per severity -> the pixels at each, which may leave [0, 1].
Corruption = Callable[[np.ndarray, np.random.Generator, Sequence[float]], Iterator[np.ndarray]]
ZOOM_STEPS = 10
SMALL, LARGE = 32, 224  # sides in pixels that levels are stated for


# --- noise


def gaussian_noise(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """Normal noise of these standard deviations."""
    noise = rng.standard_normal(x.shape, np.float32)
    return (x + level * noise for level in levels)


def shot_noise(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """Counts of a Poisson distribution with this number of photons in a white pixel."""
    return (rng.poisson(x * level).astype(np.float32) / level for level in levels)


def impulse_noise(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """This share of the values is black or white."""
    draws, white = rng.random(x.shape), rng.integers(0, 2, x.shape).astype(np.float32)
    return (np.where(draws < level, white, x) for level in levels)


# --- blur


def defocus_blur(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """A point becomes a disc of this radius in pixels."""
    return filtered(x, [_disc(round(level, 3)) for level in levels])


def glass_blur(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """Each pixel is one from up to this many pixels away in both directions, slightly blurred."""
    height, width = x.shape[:2]
    far, dither = rng.uniform(-1, 1, (2, height, width)), rng.uniform(-0.5, 0.5, (2, height, width))
    down, across = np.mgrid[:height, :width]
    for level in levels:
        moved = np.rint(level * far + dither).astype(int)
        rows, columns = (down + moved[0]).clip(0, height - 1), (across + moved[1]).clip(0, width - 1)
        yield _smooth(x[rows, columns], 0.4 * level)


def motion_blur(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """A point becomes a line at an angle of up to 45 degrees, with normal weights of this standard deviation in pixels."""
    angle = rng.uniform(-math.pi / 4, math.pi / 4)
    return filtered(x, [_line(level, angle) for level in levels])


def zoom_blur(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """The mean of the image enlarged in ten equal steps, at most by this share."""
    image = as_image(x)
    for level in levels:
        steps = [as_pixels(_enlarged(image, 1 + level * step / ZOOM_STEPS)) for step in range(1, ZOOM_STEPS + 1)]
        yield (x + sum(steps)) / (ZOOM_STEPS + 1)


# --- weather


def snow(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """Flakes that fall at an angle, denser where the level is high, over an image whitened by this share."""
    side = min(x.shape[:2])
    field = _smooth(rng.standard_normal(x.shape[:2])[..., None].astype(np.float32), side / 150)
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    streak = _line(side * 0.03, rng.uniform(math.pi / 4, 3 * math.pi / 4))
    for level in levels:
        (flakes,) = filtered((field - 2 + 2 * level).clip(0, 2) / 2, [streak])
        white = np.maximum(x, x.mean(2, keepdims=True) * 1.5 + 0.5)
        yield (1 - level) * x + level * white + flakes + flakes[::-1, ::-1]


def frost(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """Ice, with this weight, over a darkened image.

    No photographs are used: the ice is a coarse fractal field, for patches, and the ridges of a finer one, for crystals.
    """
    patches, fine = plasma(x.shape[:2], rng, 1.6), plasma(x.shape[:2], rng, 1.1)
    ice = (0.55 * patches + 0.45 * (1 - abs(2 * fine - 1)) ** 3)[..., None]
    return (min(1.0, 1.2 - 0.75 * level) * x + level * ice for level in levels)


def fog(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """A fractal field times this level is added, and the whole is scaled to the image's own white."""
    haze, white = plasma(x.shape[:2], rng, 1.5)[..., None], float(x.max())
    return ((x + level * haze) * white / (white + level) for level in levels)


def brightness(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """This level is added to the value of HSV, its largest channel."""
    value = x.max(2, keepdims=True)
    hue = np.divide(x, value, out=np.ones_like(x), where=value > 0)  # black has no hue, and becomes grey
    return (hue * (value + level).clip(0, 1) for level in levels)


# --- digital


def contrast(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """This share of the distance to the mean of each channel stays."""
    mean = x.mean((0, 1), keepdims=True)
    return ((x - mean) * level + mean for level in levels)


def elastic(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """The image is drawn out of shape by a smooth field of this many pixels (root mean square)."""
    height, width = x.shape[:2]
    field = _smooth(rng.uniform(-1, 1, (height, width, 2)).astype(np.float32), min(height, width) / 16)
    field /= max(float(np.sqrt((field**2).mean())), 1e-6)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    return (_at(x, down + level * field[..., 0], across + level * field[..., 1]) for level in levels)


def pixelate(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """Each block of this many pixels has its mean; pixels share the blocks that they lie in, and less than 2 is part of 2."""
    height, width = x.shape[:2]
    for level in levels:
        down, across = _blocks(height, max(level, 2)), _blocks(width, max(level, 2))
        coarse = np.tensordot(across, np.tensordot(down, x, 1), (1, 1)).transpose(1, 0, 2)
        yield x + min(level - 1, 1) * (coarse - x)


def jpeg(x: np.ndarray, rng: np.random.Generator, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """Written as JPEG of this quality, and read again."""
    image = as_image(x)
    for level in levels:
        file = BytesIO()
        image.save(file, "JPEG", quality=round(level))
        yield as_pixels(Image.open(file))


# Corruption -> levels of its severities for a side of 32 and of 224 pixels, as in CIFAR-10-C and ImageNet-C or near them.
LEVELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "gaussian_noise": ((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": ((500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    "impulse_noise": ((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus_blur": ((0.4, 0.6, 0.8, 1.1, 1.5), (3, 4, 6, 8, 10)),
    "glass_blur": ((0.4, 0.6, 0.8, 1.0, 1.3), (1.0, 1.6, 2.3, 3.1, 4.0)),
    "motion_blur": ((0.8, 1.2, 1.6, 2.0, 2.5), (3, 5, 7, 9, 12)),
    "zoom_blur": ((0.06, 0.11, 0.16, 0.21, 0.26), (0.11, 0.16, 0.21, 0.26, 0.31)),
    "snow": ((0.05, 0.08, 0.12, 0.16, 0.20), (0.20, 0.26, 0.32, 0.38, 0.45)),
    "frost": ((0.20, 0.27, 0.34, 0.40, 0.46), (0.40, 0.52, 0.62, 0.70, 0.78)),
    "fog": ((0.2, 0.5, 0.75, 1.0, 1.5), (1.5, 1.9, 2.3, 2.7, 3.1)),
    "brightness": ((0.05, 0.10, 0.15, 0.20, 0.30), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic": ((0.4, 0.6, 0.9, 1.2, 1.6), (2.0, 3.0, 4.2, 5.6, 7.2)),
    "pixelate": ((1.05, 1.11, 1.18, 1.33, 1.54), (1.67, 2.0, 2.5, 3.33, 4.0)),
    "jpeg": ((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
}
CORRUPTIONS: dict[str, Corruption] = {name: globals()[name] for name in LEVELS}
_LENGTHS = ("defocus_blur", "glass_blur", "motion_blur", "elastic")  # in pixels, in proportion to the side
_BLOCKS = ("pixelate",)  # in pixels too, but not below those of a small image: one pixel changes nothing


def levels_of(name: str, side: int) -> list[float]:
    """The levels of a corruption for images with this shorter side in pixels."""
    share = float(np.clip(math.log(side / SMALL) / math.log(LARGE / SMALL), 0, 1))
    scale = max(1.0, side / LARGE) if name in _LENGTHS + _BLOCKS else 1.0
    if name in _LENGTHS:
        scale *= min(1.0, side / SMALL)
    return [scale * small ** (1 - share) * large**share for small, large in zip(*LEVELS[name], strict=True)]


def corrupted(image: Image.Image, name: str, seed: int, row: int) -> list[Image.Image]:
    """An image at the five severities of a corruption, of its size; grey (mode L) stays grey, anything else is RGB."""
    image = image if image.mode == "L" and "transparency" not in image.info else convert(image, "RGB")
    rng = np.random.default_rng((seed, row, list(LEVELS).index(name)))
    found = CORRUPTIONS[name](as_pixels(image), rng, levels_of(name, min(image.size)))
    images = [as_image(pixels) for pixels in found]
    assert len(images) == SEVERITIES
    return images


def within_side(image: Image.Image, side: int | None) -> Image.Image:
    """An image whose shorter side is at most this: what a model would not see is not worth corrupting."""
    if side is None or min(image.size) <= side:
        return image
    scale = side / min(image.size)
    image = image if image.mode == "L" else convert(image, "RGB")
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)


# --- helpers


def as_pixels(image: Image.Image) -> np.ndarray:
    """`(H, W, C)` float32 in [0, 1]."""
    return np.asarray(image, np.float32).reshape(image.height, image.width, -1) / 255


def as_image(x: np.ndarray) -> Image.Image:
    """The image of pixels `(H, W, C)`, cut to [0, 1]; grey for one channel."""
    levels = (x.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)


def plasma(shape: tuple[int, ...], rng: np.random.Generator, roughness: float) -> np.ndarray:
    """A fractal field `(H, W)` from 0 to 1: white noise with amplitudes divided by frequency to this power."""
    spectrum = np.fft.rfft2(rng.standard_normal(shape))
    field = np.fft.irfft2(spectrum * _falling(shape, roughness), shape)
    field -= field.min()
    return (field / max(float(field.max()), 1e-9)).astype(np.float32)


@functools.lru_cache(maxsize=64)
def _falling(shape: tuple[int, ...], roughness: float) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    frequency[0, 0] = np.inf  # no constant
    return frequency**-roughness


def filtered(x: np.ndarray, kernels: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Pixels `(H, W, C)` convolved with each of some kernels of odd sides, mirrored at the border."""
    around = max(kernel.shape[0] for kernel in kernels) // 2
    wide = np.pad(x.transpose(2, 0, 1), ((0, 0), (around, around), (around, around)), "symmetric")
    shape = [scipy.fft.next_fast_len(length, True) for length in wide.shape[1:]]
    spectrum = scipy.fft.rfft2(wide, shape)
    for kernel in kernels:
        found = scipy.fft.irfft2(spectrum * scipy.fft.rfft2(kernel, shape), shape)
        begin = around + kernel.shape[0] // 2
        yield found[:, begin : begin + x.shape[0], begin : begin + x.shape[1]].transpose(1, 2, 0)


@functools.lru_cache(maxsize=256)
def _disc(radius: float) -> np.ndarray:
    count = max(64, round(8 * radius**2))
    places = np.arange(count) + 0.5
    turn, out = places * math.pi * (3 - math.sqrt(5)), radius * np.sqrt(places / count)  # evenly spread: a sunflower
    return _kernel(out * np.sin(turn), out * np.cos(turn), np.ones(count))


def _line(deviation: float, angle: float) -> np.ndarray:
    along = np.linspace(-2, 2, max(9, round(8 * deviation)))
    return _kernel(deviation * along * math.sin(angle), deviation * along * math.cos(angle), np.exp(-(along**2) / 2))


def _kernel(down: np.ndarray, across: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A kernel of weighted points, each shared among the four pixels around it."""
    middle = int(np.ceil(max(abs(down).max(), abs(across).max()))) + 1
    kernel = np.zeros((2 * middle + 1, 2 * middle + 1), np.float32)
    top, left = np.floor(down).astype(int), np.floor(across).astype(int)
    below, right = down - top, across - left
    for rows, share in ((top, 1 - below), (top + 1, below)):
        for columns, part in ((left, 1 - right), (left + 1, right)):
            np.add.at(kernel, (rows + middle, columns + middle), weights * share * part)
    return kernel / kernel.sum()


def _smooth(x: np.ndarray, deviation: float) -> np.ndarray:
    return ndimage.gaussian_filter(x, (deviation, deviation, 0))


def _at(x: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Pixels at these places `(H, W)`, between pixels by the four around them; beyond the border the nearest."""
    height, width = x.shape[:2]
    down, across = down.clip(0, height - 1), across.clip(0, width - 1)
    top, left = np.minimum(down.astype(int), height - 2).clip(0), np.minimum(across.astype(int), width - 2).clip(0)
    below, right = (down - top)[..., None], (across - left)[..., None]
    bottom, far = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    upper = x[top, left] * (1 - right) + x[top, far] * right
    return upper * (1 - below) + (x[bottom, left] * (1 - right) + x[bottom, far] * right) * below


def _enlarged(image: Image.Image, factor: float) -> Image.Image:
    width, height = image.size
    left, top = (width - width / factor) / 2, (height - height / factor) / 2
    return image.resize(image.size, Image.Resampling.BILINEAR, (left, top, width - left, height - top))


@functools.lru_cache(maxsize=256)
def _blocks(length: int, block: float) -> np.ndarray:
    """`(length, length)`: the mean over blocks that lie around the middle, as a matrix."""
    count = max(1, math.ceil(length / block))
    begins = (length - count * block) / 2 + np.arange(count)[:, None] * block
    places = np.arange(length)
    overlap = (np.minimum(begins + block, places + 1) - np.maximum(begins, places)).clip(0)
    return (overlap.T @ (overlap / overlap.sum(1, keepdims=True))).astype(np.float32)
