"""Printed letters and signs."""

from __future__ import annotations

import numpy as np
from datasets import DatasetDict
from scipy.spatial import ConvexHull

from hfft.data.builtin.common import SEED, image_dataset, to_uint8

# Letters whose upper- and lower-case forms look the same at the same size (c, o, s, ...) are included once; no digits.
GLYPHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghijmnqrtuy#$%&*+=<>?@!(){}^~/\\-"
LETTERS_PER_GLYPH = {"train": 480, "test": 40}
STROKES = (0, 1, 2, 3, 4, 5)  # pixels added around a glyph of 64: from the font's own weight to a felt pen's


def load() -> DatasetDict:
    """Printed letters and signs (no digits) from Pillow's own font, distorted, and reduced to look like `digits`."""
    rng = np.random.default_rng(SEED)
    counts = LETTERS_PER_GLYPH
    drawn = np.stack([draw_glyph(glyph, sum(counts.values()), rng) for glyph in GLYPHS])
    splits, start = DatasetDict(), 0
    for split, count in counts.items():
        # drawn glyph by glyph, but interleaved in the data set, so that the first rows include all classes
        pixels = drawn[:, start : start + count].swapaxes(0, 1).reshape(-1, 8, 8)
        splits[split] = image_dataset(pixels, np.tile(np.arange(len(GLYPHS)), count), list(GLYPHS))
        start += count
    return splits


def draw_glyph(glyph: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` images (8x8, uint8) of one glyph, each with its own stroke, slope, rotation, width and distortion."""
    masks = np.stack([glyph_mask(glyph, stroke) for stroke in STROKES])
    return distort(masks, rng.integers(len(STROKES), size=count), rng)


def distort(masks: np.ndarray, pen: np.ndarray, rng: np.random.Generator, slope: float = 0.0) -> np.ndarray:
    """Images (N, 8, 8, uint8) of masks (M, 128, 128), each with its own slope, rotation, width and distortion.

    Args:
        pen: the mask of each image, `(N,)`.
        slope: added to each image's own: by how much x changes per y, which points down.
    """
    count = len(pen)
    turn, slopes = rng.normal(0, 0.15, count), slope + rng.normal(0, 0.25, count)
    width, size = np.exp(rng.normal(0, 0.2, count)), rng.uniform(0.9, 1.05, count)
    bend = rng.normal(0, 0.08, (count, 2))
    wave, phase = rng.uniform(np.pi, 4 * np.pi, (count, 2)), rng.uniform(0, 2 * np.pi, (count, 2))
    cos, sin, one, zero = np.cos(turn), np.sin(turn), np.ones(count), np.zeros(count)
    affine = matrices(cos, -sin, sin, cos) @ matrices(one, slopes, zero, one) @ matrices(width, zero, zero, one)

    # The digits were cropped to their bounding box and scaled to 32x32; do the same for the transformed glyph's ink.
    ink = np.argwhere(masks.any(0))[:, ::-1]
    # the outermost points stay outermost under any affine map
    hull = ink[ConvexHull(ink).vertices] - masks.shape[-1] / 2
    moved = hull @ affine.swapaxes(1, 2)
    low, high = moved.min(1), moved.max(1)
    scale = (high - low).max(1) / size

    grid = (np.arange(32) + 0.5) / 32 - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(grid, grid))
    bent_x = x + bend[:, :1] * np.sin(wave[:, :1] * y + phase[:, :1])
    bent_y = y + bend[:, 1:] * np.sin(wave[:, 1:] * x + phase[:, 1:])
    where = np.stack([bent_x, bent_y], 2) * scale[:, None, None] + ((low + high) / 2)[:, None]
    source = np.rint(where @ np.linalg.inv(affine).swapaxes(1, 2) + masks.shape[-1] / 2).astype(int)
    source = source.clip(0, masks.shape[-1] - 1)  # the border of a mask is empty
    bitmap = masks[pen[:, None], source[..., 1], source[..., 0]].reshape(count, 8, 4, 8, 4)
    return to_uint8(bitmap.sum((2, 4)))


def glyph_mask(glyph: str, stroke: int) -> np.ndarray:
    """The ink of one glyph, drawn large in the middle of an empty square."""
    from PIL import Image as Picture
    from PIL import ImageDraw, ImageFont

    picture = Picture.new("L", (128, 128))
    font = ImageFont.load_default(64)
    ImageDraw.Draw(picture).text((64, 64), glyph, fill=255, font=font, anchor="mm", stroke_width=stroke)
    return np.asarray(picture) > 127


def matrices(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """One 2x2 matrix per row from its four entries."""
    return np.stack([a, b, c, d], 1).reshape(-1, 2, 2)
