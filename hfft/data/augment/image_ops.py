"""Augmentations of PIL images of mode RGB or L, each a pure function of the image and a generator.

`op(image, rng, **arguments) -> image`: all randomness comes from the given generator, so a caller that seeds it by
(seed, epoch, index) gets the same pixels with any number of workers. Names, defaults and distributions are those of
torchvision.transforms on PIL images; the draws differ, so results agree in distribution and not bit for bit. An op
never changes its input, and may return it. Sizes are in pixels; a fill is one level for all channels or (red, green,
blue), 0 to 255. Ranges are checked by `hfft.data.augment.parse`, not by the ops.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Predicate
from numpy.random import Generator
from PIL import Image, ImageEnhance, ImageOps
from pydantic import Field

# The ops' signatures are the only schema: `parse` makes a pydantic model of each, and messages quote the descriptions.
_OfByte = Annotated[int, Field(strict=True, ge=0, le=255)]
_Number = Annotated[float, Field(strict=True)]
_Positive = Annotated[float, Field(strict=True, ge=0)]
_Part = Annotated[float, Field(strict=True, ge=0, le=1)]
_Aspect = Annotated[float, Field(strict=True, ge=1e-3, le=1e3)]
_Turn = Annotated[float, Field(strict=True, ge=-0.5, le=0.5)]
_HalfTurn = Annotated[float, Field(strict=True, ge=0, le=0.5)]
_Ordered = Predicate(lambda pair: pair[0] <= pair[1])
Colour = Annotated[
    _OfByte | tuple[_OfByte, _OfByte, _OfByte],
    Field(description="an integer in [0, 255] or a list of 3, each an integer in [0, 255]"),
]
Paint = Annotated[
    Colour | Literal["random"],
    Field(description="an integer in [0, 255] or a list of 3, each an integer in [0, 255] or 'random'"),
]
Count = Annotated[int, Field(strict=True, ge=0, description="an integer in [0, inf)")]
Side = Annotated[Annotated[int, Field(strict=True, ge=1)] | None, Field(description="an integer in [1, inf) or null")]
Severity = Annotated[int, Field(strict=True, ge=1, le=10, description="an integer in [1, 10]")]
Width = Annotated[int, Field(strict=True, ge=1, description="an integer in [1, inf)")]
Depth = Annotated[int, Field(strict=True, ge=-1, description="an integer in [-1, inf)")]
Concentration = Annotated[float, Field(strict=True, gt=0, description="a number in (0, inf)")]
Bins = Annotated[int, Field(strict=True, ge=2, description="an integer in [2, inf)")]
Probability = Annotated[_Part, Field(description="a number in [0, 1]")]
Fractions = Annotated[tuple[_Part, _Part], _Ordered, Field(description="an ordered pair in [0, 1]")]
Aspects = Annotated[tuple[_Aspect, _Aspect], _Ordered, Field(description="an ordered pair in [0.001, 1000]")]
Jitter = Annotated[
    _Positive | Annotated[tuple[_Positive, _Positive], _Ordered],
    Field(description="a number in [0, inf) or an ordered pair in [0, inf)"),
]
HueJitter = Annotated[
    _HalfTurn | Annotated[tuple[_Turn, _Turn], _Ordered],
    Field(description="a number in [0, 0.5] or an ordered pair in [-0.5, 0.5]"),
]
Degrees = Annotated[
    _Positive | Annotated[tuple[_Number, _Number], _Ordered],
    Field(description="a number in [0, inf) or an ordered pair in (-inf, inf)"),
]
Interpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic"], Field(description="'nearest' or 'bilinear' or 'bicubic'")
]
PaddingMode = Annotated[Literal["constant", "reflect", "edge"], Field(description="'constant' or 'reflect' or 'edge'")]

# (transform of image and magnitude, magnitude at strength 0, magnitude at strength 1, whether the sign is random)
_Transform = tuple[Callable[[Image.Image, float], Image.Image], float, float, bool]


def random_crop(
    image: Image.Image,
    rng: Generator,
    size: Side = None,
    padding: Count = 4,
    fill: Colour = 0,
    padding_mode: PaddingMode = "constant",
) -> Image.Image:
    """Pad all four sides by `padding`, then cut a square with side `size` at a uniformly drawn offset.

    With `size` None, the image's own size: with padding 4, this is the usual CIFAR crop. ValueError if the window is larger
    than the padded image.
    """
    height, width = (size, size) if size else (image.height, image.width)
    if padding_mode == "constant":
        padded = ImageOps.expand(image, padding, _colour(fill, image))
    else:
        pixels = np.asarray(image)
        padded = Image.fromarray(np.pad(pixels, [(padding, padding)] * 2 + [(0, 0)] * (pixels.ndim - 2), padding_mode))
    if height > padded.height or width > padded.width:
        raise ValueError(
            f"random_crop: size = {size} exceeds the padded image, {padded.width}x{padded.height} pixels; "
            "lower size, raise padding or resize first"
        )
    return _random_window(padded, rng, height, width)


def horizontal_flip(image: Image.Image, rng: Generator, p: Probability = 0.5) -> Image.Image:
    """Mirror left to right with probability `p`."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < p else image


def vertical_flip(image: Image.Image, rng: Generator, p: Probability = 0.5) -> Image.Image:
    """Mirror top to bottom with probability `p`."""
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if rng.random() < p else image


def random_resized_crop(
    image: Image.Image,
    rng: Generator,
    size: Side = None,
    scale: Fractions = (0.08, 1.0),
    ratio: Aspects = (3 / 4, 4 / 3),
    interpolation: Interpolation = "bilinear",
) -> Image.Image:
    """Cut a window of random area and aspect, then resize it to a square of side `size` (None: the image's own size).

    `scale` bounds the window's share of the image area (uniform), `ratio` its width over height (log-uniform). After
    ten draws that do not fit, the largest central window within `ratio` is used.
    """
    target = (size, size) if size else image.size
    for _ in range(10):
        width, height = _random_sides(image, rng, scale, ratio)
        if 0 < width <= image.width and 0 < height <= image.height:
            window = _random_window(image, rng, height, width)
            break
    else:
        aspect = min(max(image.width / image.height, ratio[0]), ratio[1])
        width = max(1, min(image.width, round(image.height * aspect)))
        height = max(1, min(image.height, round(image.width / aspect)))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        window = image.crop((left, top, left + width, top + height))
    return window.resize(target, Image.Resampling[interpolation.upper()])


def color_jitter(
    image: Image.Image,
    rng: Generator,
    brightness: Jitter = 0,
    contrast: Jitter = 0,
    saturation: Jitter = 0,
    hue: HueJitter = 0,
) -> Image.Image:
    """Scale brightness, contrast and saturation and shift the hue by uniform amounts, in a random order.

    A number v draws the factor from [max(0, 1 - v), 1 + v], and for hue the shift from [-v, v] turns of the colour circle,
    at most 0.5; a pair is the range itself. An argument of 0 has no effect, so the bare defaults change nothing.
    """
    jitters = {"Brightness": brightness, "Contrast": contrast, "Color": saturation, "Hue": hue}
    for name in rng.permutation([name for name, value in jitters.items() if value]):
        value = jitters[name]
        if name == "Hue":
            image = _shift_hue(image, rng.uniform(*value if isinstance(value, tuple) else (-value, value)))
        else:
            factor = rng.uniform(*value if isinstance(value, tuple) else (max(0, 1 - value), 1 + value))
            image = getattr(ImageEnhance, name)(image).enhance(factor)
    return image


def random_rotation(
    image: Image.Image, rng: Generator, degrees: Degrees, interpolation: Interpolation = "nearest", fill: Colour = 0
) -> Image.Image:
    """Rotate about the centre, counter-clockwise, by a uniform angle from [-degrees, degrees] or the given pair."""
    angle = rng.uniform(*degrees if isinstance(degrees, tuple) else (-degrees, degrees))
    return image.rotate(angle, Image.Resampling[interpolation.upper()], fillcolor=_colour(fill, image))


def random_grayscale(image: Image.Image, rng: Generator, p: Probability = 0.1) -> Image.Image:
    """Replace every channel by the luma with probability `p`; the mode is unchanged."""
    return image.convert("L").convert(image.mode) if rng.random() < p else image


def random_erasing(
    image: Image.Image,
    rng: Generator,
    p: Probability = 0.25,
    scale: Fractions = (0.02, 0.33),
    ratio: Aspects = (0.3, 3.3),
    value: Paint = 0,
) -> Image.Image:
    """Paint over one rectangle with probability `p` (random erasing, arXiv:1708.04896).

    `scale` bounds its share of the image area (uniform), `ratio` its height over width (log-uniform); after ten draws
    that do not fit, the image is unchanged. `value` is in levels of the image: torchvision erases after normalisation,
    where 0 is the mean colour. "random" is uniform noise, as in the paper.
    """
    for _ in range(10 if rng.random() < p else 0):
        height, width = _random_sides(image, rng, scale, ratio)
        if height < image.height and width < image.width:
            pixels = np.array(image)
            top, left = rng.integers(image.height - height + 1), rng.integers(image.width - width + 1)
            patch = pixels[top : top + height, left : left + width]
            patch[...] = rng.integers(256, size=patch.shape) if value == "random" else _colour(value, image)
            return Image.fromarray(pixels)
    return image


def rand_augment(
    image: Image.Image, rng: Generator, num_ops: Count = 2, magnitude: Count = 9, num_magnitude_bins: Bins = 31
) -> Image.Image:
    """Apply `num_ops` transforms drawn from 14, all with the same strength (RandAugment, arXiv:1909.13719).

    `magnitude` is a bin below `num_magnitude_bins`, of which the last is the strongest; signed transforms get a random sign.
    """
    space = _space(0.3, 150 / 331 * image.width, 150 / 331 * image.height, 30, 0.9, 4)
    for _ in range(num_ops):
        image = _transform_one(image, rng, space, magnitude / (num_magnitude_bins - 1))
    return image


def trivial_augment(image: Image.Image, rng: Generator, num_magnitude_bins: Bins = 31) -> Image.Image:
    """Apply one of 14 transforms at a uniform strength from the wide ranges (TrivialAugment, arXiv:2103.10158)."""
    strength = rng.integers(num_magnitude_bins) / (num_magnitude_bins - 1)
    return _transform_one(image, rng, _space(0.99, 32, 32, 135, 0.99, 6), strength)


def augmix(
    image: Image.Image,
    rng: Generator,
    severity: Severity = 3,
    mixture_width: Width = 3,
    chain_depth: Depth = -1,
    alpha: Concentration = 1.0,
) -> Image.Image:
    """Average the image with a mixture of chains of transforms (AugMix, arXiv:1912.02781).

    The shares of the `mixture_width` chains are drawn from Dirichlet(alpha), that of their mixture from Beta(alpha, alpha).
    A chain has `chain_depth` of the paper's nine transforms, or 1 to 3 if it is not positive; none of them changes colours
    as the corruptions of ImageNet-C do. A magnitude is drawn up to `severity` tenths of its maximum.
    """
    shares = rng.dirichlet([alpha] * mixture_width)
    share = rng.beta(alpha, alpha)
    mixture = np.zeros(np.asarray(image).shape)
    for part in shares:
        chain = image
        for _ in range(chain_depth if chain_depth > 0 else int(rng.integers(1, 4))):
            chain = _mixed_transform(chain, rng, severity)
        mixture += part * np.asarray(chain)
    levels = (1 - share) * np.asarray(image) + share * mixture
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def _mixed_transform(image: Image.Image, rng: Generator, severity: int) -> Image.Image:
    """One of AugMix's nine transforms, at a magnitude drawn up to `severity` tenths of its maximum."""
    kind, amount = int(rng.integers(9)), rng.uniform(0.1, severity) / 10
    signed = -amount if rng.integers(2) else amount
    if kind == 0:
        return ImageOps.autocontrast(image)
    if kind == 1:
        return ImageOps.equalize(image)
    if kind == 2:
        return ImageOps.posterize(image, max(4 - int(amount * 4), 1))
    if kind == 3:
        return ImageOps.solarize(image, 256 - int(amount * 256))
    if kind == 4:
        return image.rotate(int(signed * 30), Image.Resampling.BILINEAR)
    shear, across, down = signed * 0.3, int(signed * image.width / 3), int(signed * image.height / 3)
    matrix = ((1, shear, 0, 0, 1, 0), (1, 0, 0, shear, 1, 0), (1, 0, across, 0, 1, 0), (1, 0, 0, 0, 1, down))[kind - 5]
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _colour(value: Colour, image: Image.Image) -> Any:
    """The fill in the image's mode; PIL would read a bare int on RGB as red alone."""
    rgb = value if isinstance(value, tuple) else (value, value, value)
    return Image.new("RGB", (1, 1), rgb).convert(image.mode).getpixel((0, 0))


def _random_window(image: Image.Image, rng: Generator, height: int, width: int) -> Image.Image:
    top, left = int(rng.integers(image.height - height + 1)), int(rng.integers(image.width - width + 1))
    return image.crop((left, top, left + width, top + height))


def _random_sides(image: Image.Image, rng: Generator, scale: Fractions, ratio: Aspects) -> tuple[int, int]:
    """Two sides with uniform area and log-uniform ratio of the first to the second; they may exceed the image, or be 0."""
    area = image.width * image.height * rng.uniform(*scale)
    aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def _shift_hue(image: Image.Image, turns: float) -> Image.Image:
    steps = int(turns * 255)
    # Converting to HSV and back loses levels, so skip it without a shift.
    if steps == 0 or image.mode == "L":
        return image
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + steps) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _space(shear: float, across: float, down: float, rotate: float, change: float, bits: int) -> list[_Transform]:
    """The 14 transforms (Identity, ShearX, ShearY, TranslateX, …) with the magnitudes of a search space."""
    return [
        (lambda image, _: image, 0, 0, False),
        (lambda image, slope: _affine(image, 1, slope, 0, 0, 1, 0), 0, shear, True),
        (lambda image, slope: _affine(image, 1, 0, 0, slope, 1, 0), 0, shear, True),
        (lambda image, pixels: _affine(image, 1, 0, -int(pixels), 0, 1, 0), 0, across, True),
        (lambda image, pixels: _affine(image, 1, 0, 0, 0, 1, -int(pixels)), 0, down, True),
        (lambda image, degrees: image.rotate(degrees), 0, rotate, True),
        (lambda image, by: ImageEnhance.Brightness(image).enhance(1 + by), 0, change, True),
        (lambda image, by: ImageEnhance.Color(image).enhance(1 + by), 0, change, True),
        (lambda image, by: ImageEnhance.Contrast(image).enhance(1 + by), 0, change, True),
        (lambda image, by: ImageEnhance.Sharpness(image).enhance(1 + by), 0, change, True),
        (lambda image, kept: ImageOps.posterize(image, round(kept)), 8, 8 - bits, False),
        # A level at the threshold inverts, so a fractional threshold acts as the next whole level.
        (lambda image, threshold: ImageOps.solarize(image, math.ceil(threshold)), 255, 0, False),
        (lambda image, _: ImageOps.autocontrast(image), 0, 0, False),
        (lambda image, _: ImageOps.equalize(image), 0, 0, False),
    ]


def _transform_one(image: Image.Image, rng: Generator, space: list[_Transform], strength: float) -> Image.Image:
    apply, first, last, signed = space[rng.integers(len(space))]
    magnitude = first + (last - first) * strength
    return apply(image, -magnitude if signed and rng.integers(2) else magnitude)


def _affine(image: Image.Image, *matrix: float) -> Image.Image:
    """Output pixel (x, y) takes the input at (a x + b y + c, d x + e y + f); black outside."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix)
