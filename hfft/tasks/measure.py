"""The metrics of a problem: one line per metric. Needs neither torch nor `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FEW = 30  # rows below which a figure says little


@dataclass(frozen=True)
class Measure:
    """A metric: the module in `hfft/evaluate/metrics/` that computes it, and its `config_name` there.

    Attributes:
        smaller_is_better: whether smaller values are better.
    """

    module: str
    config_name: str | None = None
    smaller_is_better: bool = False


def is_file(metric: str) -> bool:
    """Whether an entry of `score.metrics` is the path to a user's own metric."""
    return metric.endswith(".py")


def metric_names(figures: Iterable[str]) -> list[str]:
    """The metrics in a split's results, in order: a user's own metric is named by the keys that it returns."""
    return [name for name in figures if name not in ("loss", "n")]
