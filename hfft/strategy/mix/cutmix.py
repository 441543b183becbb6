"""CutMix: paste a box of another image, and learn both labels (Yun et al. 2019, arXiv:1905.04899)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec
from hfft.strategy.mix.pairs import Mixing, mixed_targets, shares

if TYPE_CHECKING:
    from torch import Tensor


class CutMix(MethodSpec):
    """The share of an image that is kept is drawn from Beta(alpha, alpha); the paper uses 1."""

    main = "alpha"
    alpha: float = Field(default=1.0, ge=0)

    def build(self) -> Method | None:
        """The method; None if alpha is 0."""
        return Pasted(self) if self.alpha else None


class Pasted(Mixing):
    """Changes inputs and targets; reads twice as many rows."""

    salt = 2

    def __init__(self, spec: CutMix):
        self.spec = spec

    def batch(self, batch: Batch) -> None:
        """Paste a box of each row's partner into the row; the labels are weighted by area."""
        assert batch.rows is not None
        labels = batch.part_labels[self.partner]
        partner = batch.take(self.partner)
        images = batch.part(TASK)["pixel_values"]
        lam = shares(batch, self.spec.alpha, self.salt)
        centres = batch.at.draws(batch.rows, 2, self.salt)
        inside = boxes(lam, centres, *images.shape[-2:])
        stays = torch.from_numpy(1 - inside.mean((1, 2))).to(labels.device, torch.float32)
        mask = torch.from_numpy(inside).to(images.device)
        batch.replace(TASK, {"pixel_values": cutmix(images, partner["pixel_values"], mask)})
        batch.targets = mixed_targets(batch.targets, labels, stays)


def boxes(lam: np.ndarray, centres: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boolean masks `(B, H, W)` of boxes with area `1 - lam`, cut off at the border, centred at `(B, 2)` in [0, 1)."""
    half = np.sqrt(1 - lam)[:, None] * np.array([height, width]) / 2
    middle = centres * np.array([height, width])
    low, high = np.rint(middle - half), np.rint(middle + half)
    down, across = np.arange(height)[None, :, None], np.arange(width)[None, None]
    rows = (down >= low[:, :1, None]) & (down < high[:, :1, None])
    return rows & (across >= low[:, 1:, None]) & (across < high[:, 1:, None])


def cutmix(images: Tensor, others: Tensor, inside: Tensor) -> Tensor:
    """Images `(B, C, H, W)` with the partners' pixels where `inside` `(B, H, W)` is true."""
    return torch.where(inside[:, None], others, images)
