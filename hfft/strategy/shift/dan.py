"""Match the features of two sets by their maximum mean discrepancy (DAN; Long et al. 2015, arXiv:1502.02791)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, Pass
from hfft.strategy.shift.target import SCORED, TargetRows, TargetSpec
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (
    0.125,
    0.25,
    0.5,
    1.0,
    2.0,
)  # of the kernels, in units of the mean squared distance: those of the TLlib library


class DAN(TargetSpec):
    """Add the multi-kernel discrepancy of the head's inputs on both sets.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the discrepancy.
    """

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Discrepancy(self)


class Discrepancy(TargetRows):
    """Adds the discrepancy over all rows of the step; its batch should have 16 rows or more."""

    needs = frozenset({"features"})
    problems = SCORED

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted discrepancy."""
        return {"dan": self.weight(seen.at) * mk_mmd(seen.features[TASK], self.target(seen.features))}


def mk_mmd(source: Tensor, target: Tensor, widths: Sequence[float] = WIDTHS) -> Tensor:
    """Unbiased squared MMD of rows `(N, D)` and `(M, D)` under a sum of Gaussian kernels; may be below 0. 0 for a single row.

    Args:
        widths: of the kernels' variances, in units of the mean squared distance of all pairs.
    """
    n, m = len(source), len(target)
    if n < 2 or m < 2:
        return (source.sum() + target.sum()) * 0
    rows = torch.cat([source, target])
    rows = rows - rows.detach().mean(0)  # less is lost to rounding
    norms = rows.square().sum(1)
    squared = (norms[:, None] + norms[None] - 2 * rows @ rows.T).clamp(min=0)
    scale = squared.detach().mean().clamp(min=torch.finfo(squared.dtype).tiny ** 0.5)
    kernel = torch.stack([torch.exp(-squared / (2 * width * scale)) for width in widths]).sum(0)
    kernel = kernel - torch.diag(kernel.diagonal())
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return within - 2 * kernel[:n, n:].mean()
