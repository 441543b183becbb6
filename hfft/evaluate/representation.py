"""What training changed inside a model: how similar its features are to those of the start, and how far its weights moved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment of features `(N, D)` and `(N, E)` of the same rows, in [0, 1] (Kornblith et al. 2019).

    1 for features that differ by a rotation, a shift and a scale. Features that are the same in all rows give 0.

    Raises:
        ValueError: not the same number of rows.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} rows; expected features of the same rows")
    x, y = (np.asarray(values, np.float64) - np.mean(values, 0, dtype=np.float64) for values in (x, y))
    shared = float(np.linalg.norm(x.T @ y)) ** 2
    alone = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return min(shared / alone, 1.0) if alone > 0 else 0.0


def distances(start: Mapping[str, Tensor], now: Mapping[str, Tensor], depth_of: Mapping[str, int]) -> dict[int, float]:
    """Depth -> distance of its weights from the start, relative to their norm there: ‖θ - θ₀‖ / ‖θ₀‖.

    Args:
        start, now: parameters by name; those of other shapes, or in one of them only, are left out.
        depth_of: parameter -> depth.
    """
    moved, norms = dict[int, float](), dict[int, float]()
    for name, depth in depth_of.items():
        if name in start and name in now and start[name].shape == now[name].shape:
            before, after = start[name].detach().double().cpu(), now[name].detach().double().cpu()
            moved[depth] = moved.get(depth, 0.0) + float(((after - before) ** 2).sum())
            norms[depth] = norms.get(depth, 0.0) + float((before**2).sum())
    return {depth: (moved[depth] / norms[depth]) ** 0.5 for depth in sorted(moved) if norms[depth] > 0}
