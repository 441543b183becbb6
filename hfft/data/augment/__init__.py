"""Image augmentation: the operations, and the grammar of `data.augment`."""

from hfft.data.augment.grammar import OPS, Compose, compose, parse
from hfft.data.augment.image_ops import (
    color_jitter,
    horizontal_flip,
    rand_augment,
    random_crop,
    random_erasing,
    random_grayscale,
    random_resized_crop,
    random_rotation,
    trivial_augment,
    vertical_flip,
)

__all__ = [
    "OPS",
    "Compose",
    "color_jitter",
    "compose",
    "horizontal_flip",
    "parse",
    "rand_augment",
    "random_crop",
    "random_erasing",
    "random_grayscale",
    "random_resized_crop",
    "random_rotation",
    "trivial_augment",
    "vertical_flip",
]
