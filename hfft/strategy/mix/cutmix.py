"""CutMix: paste a box of another image, and learn both labels (Yun et al. 2019, arXiv:1905.04899)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Setting
from hfft.strategy.mix.pairs import Mixing, mixed_targets

if TYPE_CHECKING:
    from torch import Tensor


class CutMix(MethodSpec):
    """Paste a box of another image into each one.

    Attributes:
        alpha: the share of an image that is kept is drawn from Beta(alpha, alpha); the paper uses 1.
        until: the epoch, counted from 0, from which on no box is pasted; None for never.
        switch_prob: beside mixup, the probability that a row gets a box; the other rows are averaged. timm uses 0.5.
    """

    main = "alpha"
    alpha: float = Field(default=1.0, ge=0)
    until: int | None = Field(default=None, ge=0)
    switch_prob: float = Field(default=0.5, ge=0, le=1)

    def build(self) -> Method | None:
        """The method; None if alpha or until is 0."""
        return Pasted(self) if self.alpha and self.until != 0 else None


class Pasted(Mixing):
    """Changes inputs and targets; reads twice as many rows."""

    needs = Mixing.needs | {"images"}
    salt = 2

    def __init__(self, spec: CutMix):
        self.spec, self.switch_prob = spec, spec.switch_prob

    def start(self, setting: Setting) -> None:
        """Remember what else mixes.

        Raises:
            BadInput: there is a probability to switch, but nothing to switch to.
        """
        super().start(setting)
        if "switch_prob" in self.spec.model_fields_set and len(self.beside) < 2:
            raise BadInput("strategy.cutmix.switch_prob: is for runs with mixup, which is not set; leave it out")

    def batch(self, batch: Batch) -> None:
        """Paste a box of each row's partner into the row; the labels are weighted by area."""
        if not self.on(batch.at.epoch):
            return
        assert batch.rows is not None
        labels = batch.part_labels[self.partner]
        partner = self.partners(batch)
        images = batch.part(TASK)["pixel_values"]
        lam = self.shares(batch)
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
