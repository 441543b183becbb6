"""What the built-in data sets have in common: one seed, images as PNG, a stratified test split."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value

SEED = 0  # one seed for every draw and split below: a built-in data set is the same on every load


def to_uint8(levels: np.ndarray) -> np.ndarray:
    """Convert grey levels 0..16 (how many of 4x4 pixels are ink) to 0..255."""
    return np.rint(np.asarray(levels) * (255 / 16)).astype(np.uint8)


def image_dataset(pixels: np.ndarray, labels: np.ndarray, names: list[str], **beside: list[Any]) -> Dataset:
    """Grey images as PNG bytes with their labels, and further columns of texts or of numbers."""
    further = {name: Value("string" if isinstance(values[0], str) else "float32") for name, values in beside.items()}
    features = Features(image=Image(), label=ClassLabel(names=names), **further)
    images = [{"bytes": png(image), "path": None} for image in pixels]
    return Dataset.from_dict({"image": images, "label": labels.tolist(), **beside}, features=features)


def png(pixels: np.ndarray) -> bytes:
    """One grey image as PNG bytes."""
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def stratified_test(labels: np.ndarray, share: float) -> np.ndarray:
    """Which rows are test rows: the same share of every class."""
    rng = np.random.default_rng(SEED)
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        chosen[rows[: round(len(rows) * share)]] = True
    return chosen
