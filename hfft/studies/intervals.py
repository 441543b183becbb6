"""What a few repeated measurements say: mean, standard deviation and 95% intervals, alone and in pairs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """A mean of `n` values with its confidence interval.

    Attributes:
        sd: sample standard deviation, with n - 1 in the denominator; 0 for a single value.
        low, high: limits of the interval; infinite for a single value.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def differs(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def summarise(values: Sequence[float], level: float = LEVEL, overlap: float = 0.0) -> Summary:
    """The mean of independent values with its t-interval: mean ± t(n - 1) · sd · √(1/n + overlap).

    Args:
        overlap: test rows by training rows of a fold, in cross-validation: its values are not independent, since their
            training rows overlap (Nadeau & Bengio 2003, https://doi.org/10.1023/A:1024068626366).

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values; a mean needs one at least")
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Summary(mean, 0.0, 1, -math.inf, math.inf)
    from scipy.special import stdtrit  # a tenth of a second, which a command line need not wait for

    sd = statistics.stdev(values)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * sd * math.sqrt(1 / n + overlap)
    return Summary(mean, sd, n, mean - half, mean + half)


def paired(ours: Sequence[float], theirs: Sequence[float], level: float = LEVEL) -> Summary:
    """The mean difference of pairs with its t-interval: that of the paired t-test.

    Raises:
        ValueError: not as many of one as of the other, or none.
    """
    return summarise([a - b for a, b in zip(ours, theirs, strict=True)], level)
