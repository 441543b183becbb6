"""Hide patches of images with draws that depend only on (seed, epoch, row), and make targets of their pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hfft.data.spec import Data
from hfft.errors import ModelError
from hfft.tasks.problem.masked_patches import patches
from hfft.wording import listing

SIMMIM_RATIO, SIMMIM_EDGE = 0.6, 32  # arXiv:2111.09886, §4.1.2: of images of 192 and 224 pixels
DRAW = "draw"  # in a row: the seed of its mask


@dataclass(frozen=True)
class PatchMasks:
    """Which patches of an image are hidden.

    Attributes:
        patch: edge of a patch in pixels.
        scale: patches along the edge of a unit, the square that is hidden as a whole.
        units: units along the edge of an image.
        hidden: number of units that are hidden.
        by_noise: whether the model hides patches by itself, those with the highest noise (ViTMAE).
        normed: whether the targets are normalised in each patch (ViTMAE's `norm_pix_loss`).
    """

    patch: int
    scale: int
    units: int
    hidden: int
    by_noise: bool = False
    normed: bool = False

    def ranks(self, draws: np.ndarray) -> np.ndarray:
        """A random order of each row's units, `(B, units * units)`; the last ones are hidden.

        Args:
            draws: `(B,)`, the seed of each row, so that no shared generator is used.
        """
        return np.stack([np.random.default_rng(int(draw)).permutation(self.units**2) for draw in draws])

    def masks(self, ranks: np.ndarray) -> np.ndarray:
        """Which patches are hidden, `(B, N)` bool, row by row."""
        units = (ranks >= self.units**2 - self.hidden).reshape(-1, self.units, self.units)
        return units.repeat(self.scale, 1).repeat(self.scale, 2).reshape(len(ranks), -1)


def patch_masks(config: Any, data: Data) -> PatchMasks:
    """The masks for a model, from its config and `data.mask_ratio` and `data.mask_patch_size`.

    Raises:
        ModelError: the size of what is masked does not fit the model's patches, or nothing would be left to see.
    """
    image, patch, by_noise = edge(config.image_size), edge(config.patch_size), config.model_type == "vit_mae"
    size = data.mask_patch_size
    if size is None:
        fits = not by_noise and image % SIMMIM_EDGE == 0 and SIMMIM_EDGE % patch == 0 and image > SIMMIM_EDGE
        size = SIMMIM_EDGE if fits else patch
    possible = [patch] if by_noise else [n for n in range(patch, image // 2 + 1, patch) if image % n == 0]
    if size not in possible:
        raise ModelError(
            f"data.mask_patch_size: is {size}, but {config.model_type} reads {image} x {image} pixels in patches of {patch}; "
            f"use {listing(possible, 12)}"
        )
    count = (image // size) ** 2
    if by_noise:
        ratio = config.mask_ratio
        hidden = count - int(count * (1 - ratio))  # as the model counts
    else:
        ratio = SIMMIM_RATIO if data.mask_ratio is None else data.mask_ratio
        hidden = math.ceil(count * ratio)
    if not 0 < hidden < count:
        raise ModelError(
            f"data.mask_ratio: is {ratio:g}, which hides {hidden} of the {count} squares of {size} pixels; "
            f"use one between {1 / count:.2g} and {1 - 1 / count:.2g}, or another data.mask_patch_size"
        )
    return PatchMasks(patch, size // patch, image // size, hidden, by_noise, getattr(config, "norm_pix_loss", False))


def edge(size: Any) -> int:
    """The edge of a square, which a config has as one number or two."""
    return int(size) if isinstance(size, int | float) else int(size[0])


@dataclass(frozen=True)
class MaskedCollate:
    """Rows of images with their draws -> a batch with `labels`, which patches are hidden, and what tells the model so.

    Args:
        collate: makes the batch of the images.
    """

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    masks: PatchMasks

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        ranks = self.masks.ranks(np.array([row[DRAW] for row in rows]))
        hidden = torch.from_numpy(self.masks.masks(ranks))
        batch = self.collate([{key: value for key, value in row.items() if key != DRAW} for row in rows])
        if self.masks.by_noise:
            # distinct, so that every machine sorts them alike; above 1 where half precision must tell
            marks = {"noise": torch.from_numpy(ranks.astype(np.float32) / ranks.shape[1]) + hidden}
        else:
            marks = {"bool_masked_pos": hidden}
        return {**batch, **marks, "labels": hidden}


@dataclass(frozen=True)
class MaskedTargets:
    """A batch on the device -> the model's inputs, with the pixels of hidden patches as `labels`, `(B, N, D)`, NaN elsewhere.

    Args:
        pixels: the preprocessing that is left for the device; None if there is none.
    """

    pixels: Callable[[dict[str, Any]], dict[str, Any]] | None
    masks: PatchMasks

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch = batch if self.pixels is None else self.pixels(batch)
        hidden = batch.get("labels")
        if hidden is None or hidden.dtype != torch.bool:
            return batch
        values = patches(batch["pixel_values"], self.masks.patch)
        if self.masks.normed:
            values = (values - values.mean(-1, keepdim=True)) / (values.var(-1, keepdim=True) + 1e-6).sqrt()
        return {**batch, "labels": values.masked_fill(~hidden[..., None], float("nan"))}
