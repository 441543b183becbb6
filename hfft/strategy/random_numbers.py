"""Random numbers on a device that depend on a key alone, such as (seed, step)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import Generator


def rows_in_turn(
    rows: np.ndarray,
    size: int,
    epoch: int,
    seed: int,
    of: int | None = None,
    copy: int = 0,
    copies: int = 1,
    salt: int = 3,
) -> np.ndarray:
    """A row of another set for each training row `(B,)`: all of its `size` rows in turn, in an order drawn for each turn.

    Args:
        of: number of training rows, so that a longer set is gone through over several epochs; None to start anew in each.
        copy: which of several rows for each training row.
        copies: how many these are.
        salt: another order of the same turns.
    """
    places = rows + (0 if of is None else of * (epoch * copies + copy))
    found = np.empty(len(rows), np.int64)
    turns, within = np.divmod(places, size)
    if of is None:  # each epoch is one turn, however often it goes through the set
        turns = np.full_like(turns, epoch)
    for turn in np.unique(turns):
        here = turns == turn
        found[here] = _order(int(turn), size, seed, salt)[within[here]]
    return found


@lru_cache(maxsize=4)
def _order(turn: int, size: int, seed: int, salt: int) -> np.ndarray:
    return np.random.default_rng((seed, turn, salt)).permutation(size)


def generator(device: torch.device, *key: int) -> Generator:
    """A generator for a key of non-negative numbers: the same in every process with a device of this kind."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(seed >> np.uint64(1)))
