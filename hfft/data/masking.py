"""Mask tokens with draws that depend only on (seed, epoch, row), so that a resumed run masks the same tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling


class MaskStep:
    """Gives each row a seed for masking its tokens, from (seed, epoch, row) alone; for held-out rows it is always the same."""

    def __init__(self, seed: int, moves: bool):
        self.seed, self.moves = seed, moves
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch used in draws."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        """Use this epoch in draws from now on, in running workers too."""
        self._epoch.fill_(epoch if self.moves else 0)

    def draw(self, row: int, epoch: int | None = None) -> int:
        """The draw of a row, by its number in the split; for the current epoch or another."""
        epoch = self.epoch if epoch is None or not self.moves else epoch
        return int(np.random.default_rng((self.seed, epoch, row)).integers(2**63))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with its draw in place of its number."""
        return {**{key: value for key, value in row.items() if key != "row"}, "draw": self.draw(row["row"])}


def masked(
    mask: DataCollatorForLanguageModeling, ids: np.ndarray, lengths: np.ndarray, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mask some of the token ids of concatenated rows and make their labels: each row by its own draw, never a shared generator.

    Args:
        ids, lengths: (T,) concatenated ids of all rows, and the number of ids of each row, (B,).
        draws: (B,), from `MaskStep`.
    """
    tokens = torch.from_numpy(ids.astype(np.int64))
    special = torch.isin(tokens, torch.tensor(mask.tokenizer.all_special_ids))
    parts = []
    for draw, row, fixed in zip(draws, tokens.split(lengths.tolist()), special.split(lengths.tolist()), strict=True):
        mask.generator = torch.Generator().manual_seed(int(draw))
        parts.append(mask.torch_mask_tokens(row[None].clone(), fixed[None]))
    inputs, labels = (torch.cat([part[i][0] for part in parts]).numpy() for i in (0, 1))
    return inputs, labels
