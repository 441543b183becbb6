"""Random numbers on a device that depend on a key alone, such as (seed, step)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hfft.lazy import torch

if TYPE_CHECKING:
    from torch import Generator


def rows_in_turn(rows: np.ndarray, size: int, epoch: int, seed: int, salt: int = 3) -> np.ndarray:
    """A row of another set for each training row `(B,)`: all of its `size` rows in turn, in an order drawn for the epoch.

    Args:
        salt: another order of the same epoch.
    """
    return np.random.default_rng((seed, epoch, salt)).permutation(size)[rows % size]


def generator(device: torch.device, *key: int) -> Generator:
    """A generator for a key of non-negative numbers: the same in every process with a device of this kind."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(seed >> np.uint64(1)))
