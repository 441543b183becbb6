"""From easy to hard rows, by their loss at the start (curriculum learning; Hacohen and Weinshall 2019, arXiv:1904.03626)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import At, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class Curriculum(MethodSpec):
    """Start with the easiest rows, and add harder ones in each epoch. An epoch has as many rows as without it.

    Attributes:
        over: fraction of the epochs after which all rows are used.
        start: fraction of the rows, the easiest of each class, that the first epoch uses.
        by: a row's difficulty is the loss at the start: that of the nearest class mean of the pretrained `features`, or the
            model's own `loss`, for a head that knows the classes already.
    """

    main = "over"
    over: float = Field(default=0.5, ge=0, le=1)
    start: float = Field(default=0.3, gt=0, le=1)
    by: Literal["features", "loss"] = "features"

    def build(self) -> Method | None:
        """The sampler; None if all rows are used from the first epoch on."""
        return EasyFirst(self) if self.over and self.start < 1 else None


class EasyFirst(Method):
    """Scores all rows once, before the first step; the rows of an epoch follow from their scores, the seed and the epoch."""

    problems = ("single_label_classification",)
    needs = frozenset({"counts"})

    def __init__(self, spec: Curriculum):
        self.spec = spec
        if spec.by == "loss":
            self.needs = self.needs | {"head"}
        self.row_losses: Tensor | None = None  # (rows,)

    def start(self, setting: Setting) -> None:
        """Remember the class of each row and the number of epochs."""
        assert setting.class_ids is not None
        self.class_ids, self.epochs, self.problem = np.asarray(setting.class_ids), setting.epochs, setting.problem

    def epoch(self, model: nn.Module, outputs_of: Callable[..., Any], at: At) -> None:
        """Score the rows before the first step."""
        if self.row_losses is not None:
            return
        features = self.spec.by == "features"
        found = outputs_of("train", features=features)
        self.row_losses = (
            class_mean_loss(found.features, found.labels)
            if features
            else self.problem.loss(found.logits, found.labels).double()
        )

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """The epoch's easy rows in turn, as many as there are rows."""
        rng = np.random.default_rng((seed, epoch))
        if self.row_losses is None:  # before the first epoch only their number is read
            return rng.permutation(len(self.class_ids))
        share = used_share(epoch / self.epochs, self.spec.over, self.spec.start)
        return easy_order(self.row_losses.numpy(), self.class_ids, share, rng)

    def state(self) -> dict[str, Tensor]:
        """The rows' losses at the start."""
        return {} if self.row_losses is None else {"losses": self.row_losses}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the losses."""
        self.row_losses = state["losses"].cpu()


def used_share(done: float, over: float, start: float) -> float:
    """The share of the rows that is used when the fraction `done` of the epochs is over: from `start`, linearly to 1."""
    return min(1.0, start + (1 - start) * done / over)


def easy_order(losses: np.ndarray, class_ids: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """`(N,)` row numbers: the easiest `share` of each class in turn, in random order.

    Args:
        losses: `(N,)` difficulty of each row.
        class_ids: `(N,)` class of each row: an easy class does not crowd out the others.
    """
    chosen = []
    for name in np.unique(class_ids):
        rows = np.flatnonzero(class_ids == name)
        easy = rows[np.argsort(losses[rows], kind="stable")]
        chosen.append(easy[: max(1, int(np.ceil(share * len(rows) - 1e-9)))])
    pool = np.concatenate(chosen)
    turns = [rng.permutation(pool) for _ in range(-(-len(losses) // len(pool)))]
    return np.concatenate(turns)[: len(losses)]


def class_mean_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy `(N,)` of the nearest class mean: a Gaussian of the same variance per class and dimension.

    Args:
        features: `(N, D)`.
        labels: `(N,)`.
    """
    x, (present, places) = features.double(), torch.unique(labels, return_inverse=True)
    means = torch.stack([x[places == c].mean(0) for c in range(len(present))])
    variance = (x - means[places]).square().mean().clamp(min=torch.finfo(x.dtype).tiny)
    distances = torch.cdist(x, means).square() / (2 * variance)
    own = F.one_hot(places, len(present)).bool()
    others = torch.logsumexp((-distances).masked_fill(own, -torch.inf), 1)
    return F.softplus(others + distances[own])  # not as a difference, which rounds small losses to 0
