"""Augmentation of images and texts: the operations, and the grammar of `data.augment`."""

from hfft.data.augment.grammar import OPS, TEXT_OPS, Compose, ComposeTexts, compose, compose_texts, parse
from hfft.data.augment.image_ops import (
    augmix,
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
from hfft.data.augment.text_ops import (
    back_translation,
    keyboard_typos,
    random_case,
    random_insertion,
    span_cutoff,
    word_drop,
    word_swap,
)

__all__ = [
    "OPS",
    "TEXT_OPS",
    "Compose",
    "ComposeTexts",
    "augmix",
    "back_translation",
    "color_jitter",
    "compose",
    "compose_texts",
    "horizontal_flip",
    "keyboard_typos",
    "parse",
    "rand_augment",
    "random_case",
    "random_crop",
    "random_erasing",
    "random_grayscale",
    "random_insertion",
    "random_resized_crop",
    "random_rotation",
    "span_cutoff",
    "trivial_augment",
    "vertical_flip",
    "word_drop",
    "word_swap",
]
