"""Printed digits of five pens, each a domain."""

from __future__ import annotations

import numpy as np
from datasets import DatasetDict

from hfft.data.builtin.common import SEED, image_dataset
from hfft.data.builtin.letters import distort, glyph_mask

PENS = ("fine", "bold", "italic", "outline", "rough")
SIZES = {"train": 30, "test": 10}  # images of each digit and pen: 1500 and 500, as `digits` has 1297 and 500
ITALIC = -0.5  # slope of the italic pen: x changes by so much per y, which points down


def load(pen: str | None = None) -> DatasetDict:
    """Printed digits from Pillow's own font, distorted as `letters` are; column `domain` names the pen.

    Args:
        pen: only the rows of this pen, the same ones as in the whole set.
    """
    drawn = np.stack([[draw_digit(digit, pen_) for pen_ in PENS] for digit in range(10)])  # (10, 5, 40, 8, 8)
    chosen = [i for i, name in enumerate(PENS) if pen in (None, name)]
    splits, start = DatasetDict(), 0
    for split, count in SIZES.items():
        # interleaved, so that the first rows have every digit and pen
        images = drawn[:, chosen, start : start + count].transpose(2, 1, 0, 3, 4)
        labels = np.broadcast_to(np.arange(10), images.shape[:3]).ravel()
        pens = np.broadcast_to(np.array(PENS)[chosen, None], images.shape[:3]).ravel()
        splits[split] = image_dataset(images.reshape(-1, 8, 8), labels, list("0123456789"), domain=pens.tolist())
        start += count
    return splits


def draw_digit(digit: int, pen: str) -> np.ndarray:
    """The images of one digit by one pen, `(40, 8, 8)` of uint8, with draws of their own."""
    rng = np.random.default_rng((SEED, digit, PENS.index(pen)))
    count, glyph = sum(SIZES.values()), str(digit)
    masks = glyph_mask(glyph, {"bold": 6, "rough": 3, "italic": 2}.get(pen, 0))[None]
    if pen == "outline":
        masks = glyph_mask(glyph, 5)[None] & ~glyph_mask(glyph, 1)[None]
    elif pen == "rough":
        # dry patches of 4 x 4 pixels; one mask each, so that no two images have the same
        patches = rng.random((count, 32, 32)) < 0.35
        masks = masks & ~patches.repeat(4, axis=1).repeat(4, axis=2)
    pens = np.arange(count) % len(masks)
    return distort(masks, pens, rng, slope=ITALIC if pen == "italic" else 0.0)
