"""Masked tokens whose draws come from (seed, epoch, row) alone, so that a resumed run masks what another would have."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling


class MaskStep:
    """Gives each row the draw its tokens are masked by, from (seed, epoch, row) alone; held-out rows keep theirs."""

    def __init__(self, seed: int, moves: bool):
        self.seed, self.moves = seed, moves
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that is drawn for."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        """Draw for this epoch from now on, in running workers too."""
        self._epoch.fill_(epoch if self.moves else 0)

    def draw(self, row: int, epoch: int | None = None) -> int:
        """The draw of a row, by its number in the split; of the epoch that it is, or of another."""
        epoch = self.epoch if epoch is None or not self.moves else epoch
        return int(np.random.default_rng((self.seed, epoch, row)).integers(2**63))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with its draw in the place of its number."""
        return {**{key: value for key, value in row.items() if key != "row"}, "draw": self.draw(row["row"])}


def masked(
    mask: DataCollatorForLanguageModeling, ids: np.ndarray, lengths: np.ndarray, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids end to end, some of them masked, and their labels: each row by its own draw, never a shared generator.

    Args:
        ids, lengths: (T,) ids of all rows, and how many are each row's, (B,).
        draws: (B,), of `MaskStep`.
    """
    tokens = torch.from_numpy(ids.astype(np.int64))
    special = torch.isin(tokens, torch.tensor(mask.tokenizer.all_special_ids))
    parts = []
    for draw, row, fixed in zip(draws, tokens.split(lengths.tolist()), special.split(lengths.tolist()), strict=True):
        mask.generator = torch.Generator().manual_seed(int(draw))
        parts.append(mask.torch_mask_tokens(row[None].clone(), fixed[None]))
    inputs, labels = (torch.cat([part[i][0] for part in parts]).numpy() for i in (0, 1))
    return inputs, labels
