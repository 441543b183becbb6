"""The contrastive loss of two views of each row (NT-Xent; Chen et al. 2020, arXiv:2002.05709)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5, symmetric: bool = True) -> Tensor:
    """Mean cross-entropy of finding a row's other view among those of all rows, by cosines over a temperature: scalar, in nats.

    Args:
        first, second: features `(N, D)` of two views of N rows.
        symmetric: SimCLR: each of the 2 N views looks for its other one among 2 N - 1 views; otherwise SimCSE: each first view
            looks among the N second ones.
    """
    x, y = F.normalize(first, dim=1), F.normalize(second, dim=1)
    places = torch.arange(len(x), device=x.device)
    if not symmetric:
        return F.cross_entropy(x @ y.T / temperature, places)
    views = torch.cat([x, y])
    similar = views @ views.T / temperature
    itself = torch.eye(len(views), dtype=torch.bool, device=x.device)
    other = torch.cat([places + len(x), places])
    return F.cross_entropy(similar.masked_fill(itself, -torch.inf), other)
