"""N-way K-shot evaluation: how well class means of a few rows classify others, on given features (Snell et al. 2017,
arXiv:1703.05175; 600 episodes as in Chen et al. 2019, arXiv:1904.04232).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hfft.errors import BadInput
from hfft.evaluate.intervals import NORMAL
from hfft.wording import listing


@dataclass(frozen=True)
class EpisodeSettings:
    """What an episode is.

    Attributes:
        episodes: how many.
        ways: classes in each.
        shots: rows of each class whose mean is its prototype.
        queries: rows of each class that are classified.
    """

    episodes: int = 600
    ways: int = 5
    shots: int = 5
    queries: int = 15

    def check(self) -> None:
        """Raise BadInput if these make no episode."""
        for name, least in (("episodes", 2), ("ways", 2), ("shots", 1), ("queries", 1)):
            if getattr(self, name) < least:
                raise BadInput(f"--{name} {getattr(self, name)}: must be at least {least}")


def usable_classes(
    labels: np.ndarray, names: tuple[str, ...], settings: EpisodeSettings
) -> tuple[np.ndarray, str | None]:
    """The classes with enough rows for an episode, and a line on those without, if any.

    Args:
        labels: `(N,)` class of each row.

    Raises:
        BadInput: they are fewer than the ways.
    """
    each, counts = settings.shots + settings.queries, np.bincount(labels, minlength=len(names))
    enough = np.flatnonzero(counts >= each)
    if len(enough) < settings.ways:
        raise BadInput(
            f"--ways {settings.ways}: an episode takes {each} rows of each class, and {len(enough)} of {len(names)} classes "
            "have as many; lower --ways, --shots or --queries"
        )
    few = [f"{names[c]!r:.30} ({counts[c]})" for c in np.flatnonzero(counts < each)]
    return enough, f"in no episode, with fewer than {each} rows: {listing(few, 10)}" if few else None


def episode_accuracies(
    features: np.ndarray, labels: np.ndarray, classes: np.ndarray, settings: EpisodeSettings, seed: int
) -> np.ndarray:
    """The accuracy of each episode, `(episodes,)`: each query gets the class of the nearest prototype by Euclidean distance.

    Args:
        features: `(N, D)`.
        labels: `(N,)`.
        classes: those that may be drawn, each with enough rows.
    """
    rng = np.random.default_rng((seed, 14))
    rows_of = [np.flatnonzero(labels == name) for name in classes]
    features = np.asarray(features, np.float64)
    found = np.empty(settings.episodes)
    for i in range(settings.episodes):
        ways = rng.permutation(len(classes))[: settings.ways]
        each = settings.shots + settings.queries
        drawn = features[np.stack([rng.permutation(rows_of[way])[:each] for way in ways])]  # (ways, each, D)
        means, queries = drawn[:, : settings.shots].mean(1), drawn[:, settings.shots :]
        # the squared distance without the query's own length, which is the same for every class
        distances = (means**2).sum(1) - 2 * queries @ means.T  # (ways, queries, ways)
        found[i] = (distances.argmin(2) == np.arange(settings.ways)[:, None]).mean()
    return found


def mean_and_interval(accuracies: np.ndarray) -> tuple[float, float]:
    """The mean and the half-width of its 95 % interval over episodes."""
    return float(accuracies.mean()), float(NORMAL * accuracies.std(ddof=1) / np.sqrt(len(accuracies)))
