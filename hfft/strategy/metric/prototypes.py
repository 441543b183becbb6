"""Learn features whose class means classify: prototypical networks, trained by episodes (Snell et al. 2017, arXiv:1703.05175).

A step is an episode: a few classes (ways), of each some rows (shots) whose mean is its prototype, and others (queries) that
are classified by their distance to the prototypes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.errors import BadInput, DataError
from hfft.lazy import F, torch
from hfft.processes import say
from hfft.strategy.method import TASK, At, Method, MethodSpec, Pass, Setting
from hfft.strategy.metric.fitted_head import FittedHead, class_means, squared_distances
from hfft.wording import listing

if TYPE_CHECKING:
    from torch import Tensor


class Prototypes(MethodSpec):
    """Episodes of classes that are classified by the nearest mean of their features. The head is that of the classes' means.

    The rows of a step beside the shots are queries: a batch of 100 rows has 15 of each of 5 ways with 5 shots.

    Attributes:
        ways: classes in an episode; the paper trains with more than it is scored with.
        shots: rows of each class that make its prototype; as many as it is scored with.
    """

    main = "shots"
    ways: int = Field(default=5, ge=2)
    shots: int = Field(default=5, ge=1)

    def build(self) -> Method:
        """The method."""
        return Episodes(self)


class Episodes(FittedHead):
    """Sets the order of rows; an epoch has as many episodes as its rows fill."""

    needs = FittedHead.needs | {"rows"}

    def __init__(self, spec: Prototypes):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Find how many queries a step has.

        Raises:
            BadInput: a step's rows are no episode.
            DataError: fewer classes than ways have the rows that an episode takes.
        """
        super().start(setting)
        ways, shots, rows = self.spec.ways, self.spec.shots, setting.batch_rows
        self.each = rows // ways  # rows of a class in an episode
        if rows % ways or self.each <= shots:
            raise BadInput(
                f"strategy.prototypes: a step of {rows} rows is no episode of {ways} ways with {shots} shots and queries beside "
                f"them; use a multiple of {ways} that is at least {ways * (shots + 1)} as training.per_device_train_batch_size"
            )
        counts = setting.class_counts
        few = [f"{setting.class_names[c]!r:.30} ({counts[c]} rows)" for c in np.flatnonzero(counts < self.each)]
        if len(counts) - len(few) < ways:
            raise DataError(
                f"strategy.prototypes: an episode takes {self.each} rows of {ways} classes, but only {len(counts) - len(few)} "
                "classes of train have as many; lower ways, or training.per_device_train_batch_size"
            )
        if few:
            say(
                f"strategy.prototypes: no episode has class {listing(few, 10)}, since it takes {self.each} rows of each"
            )
        self.classes = np.flatnonzero(counts >= self.each)
        self.episodes = max(len(self.class_ids) // rows, 1)

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """The epoch's episodes, drawn from (seed, epoch)."""
        rng = np.random.default_rng((seed, epoch, 8))
        chosen = [rng.permutation(self.classes)[: self.spec.ways] for _ in range(self.episodes)]
        return np.concatenate([episode(self.class_ids, classes, self.each, rng) for classes in chosen])

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The mean loss of the episode's queries."""
        assert seen.rows is not None
        shots = support(seen.labels.cpu().numpy(), seen.rows, self.spec.shots, seen.at)
        return {"prototypes": episode_loss(seen.features[TASK], seen.labels, torch.from_numpy(shots))}

    def fit(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The head that is as the distances to the means of all training rows."""
        return prototype_head(class_means(features, labels, self.setting.outputs))


def episode(class_ids: np.ndarray, classes: np.ndarray, each: int, rng: np.random.Generator) -> np.ndarray:
    """`(ways * each,)` row numbers, none twice: `each` rows of each of `classes` `(ways,)`; `class_ids` is `(N,)`."""
    return np.concatenate([rng.permutation(np.flatnonzero(class_ids == name))[:each] for name in classes])


def support(labels: np.ndarray, rows: np.ndarray, shots: int, at: At) -> np.ndarray:
    """Which rows of an episode are shots, `(N,)` true or false: `shots` of each class, the same in whatever order they come."""
    rank = at.draws(rows, salt=9)[:, 0]
    order = np.lexsort((rows, rank, labels))
    chosen = np.zeros(len(labels), bool)
    for name in np.unique(labels):
        chosen[order[labels[order] == name][:shots]] = True
    return chosen


def episode_loss(features: Tensor, labels: Tensor, shots: Tensor) -> Tensor:
    """The mean cross-entropy of the queries, whose logits are minus the squared distances to the prototypes.

    Args:
        features: `(N, D)`.
        labels: `(N,)` any class numbers.
        shots: `(N,)` true for rows that make the prototypes; of each class that occurs there must be one.
    """
    shots = shots.to(features.device)
    classes, places = torch.unique(labels, return_inverse=True)
    means = class_means(features[shots], places[shots], len(classes))
    logits = -squared_distances(features[~shots], means)
    return F.cross_entropy(logits, places[~shots])


def prototype_head(means: Tensor) -> tuple[Tensor, Tensor]:
    """The linear layer whose logits differ as minus the squared distances to prototypes `(C, D)`: weight and bias."""
    return 2 * means, -means.square().sum(1)
