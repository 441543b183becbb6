"""Curves of accuracy over rows or budgets: a power law that forecasts, where a curve reaches a value, intervals over seeds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000  # of a bootstrap: the ends of a 95% interval move by about a hundredth of its width from seed to seed


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95% interval; infinite where what was measured does not bound it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class InversePower:
    """`error = floor + scale * rows ** -power`, the usual shape of a learning curve (Figueroa et al. 2012; arXiv:1712.00409)."""

    floor: float
    scale: float
    power: float

    def __call__(self, rows: float) -> float:
        """The error to expect of so many rows."""
        return self.floor + self.scale * rows**-self.power


def fit_inverse_power(rows: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray) -> InversePower:
    """Fit by least squares; with fewer than four sizes the floor is 0, since three points fit any three numbers.

    Args:
        rows, errors: one entry per run, `(M,)`; a size may occur several times. Errors are from 0 to 1.

    Raises:
        ValueError: there are fewer than two sizes.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    x, y = np.asarray(rows, float), np.asarray(errors, float)
    sizes = len(np.unique(x))
    if sizes < 2:
        raise ValueError(f"a curve over rows needs at least two sizes, not {sizes}")
    unit = float(np.exp(np.log(x).mean()))  # in units of the middle size, scale and power are of one magnitude
    begin, low, high = [float(y.mean()), 0.5], [0.0, 0.0], [np.inf, 4.0]
    if sizes >= 4:
        begin, low, high = [float(y.min()) / 2, *begin], [0.0, *low], [1.0, *high]

    def curve(n: np.ndarray, *values: float) -> np.ndarray:
        floor, scale, power = values if len(values) == 3 else (0.0, *values)
        return floor + scale * n**-power

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # the covariance is not used: intervals are over seeds
        found, _ = curve_fit(curve, x / unit, y, p0=begin, bounds=(low, high), maxfev=10_000)
    floor, scale, power = found if len(found) == 3 else (0.0, *found)
    return InversePower(float(floor), float(scale * unit**power), float(power))


def forecast(sizes: Sequence[float], accuracy: np.ndarray, rows: float) -> Estimate:
    """The accuracy to expect of `rows` rows by an inverse power fitted to what was measured, with its interval over seeds.

    Args:
        accuracy: `(seeds, sizes)`.
    """

    def at(drawn: np.ndarray) -> float:
        return 1 - fit_inverse_power(np.tile(sizes, len(drawn)), 1 - drawn.ravel())(rows)

    return over_seeds(at, accuracy, draws=200)  # a fit takes milliseconds


def reached(at: Sequence[float], values: Sequence[float], target: float) -> float:
    """Where a curve first reaches `target`: interpolated over the logarithm of `at`, infinite if it stays below.

    The curve is first made non-decreasing (isotonic regression), so that one lucky point does not decide.

    Args:
        at: positive and increasing, `(M,)`.
        values: `(M,)`.
    """
    from scipy.optimize import isotonic_regression

    y = isotonic_regression(np.asarray(values, float)).x
    if y[0] >= target:
        return float(at[0])
    above = np.flatnonzero(y >= target)
    if not len(above):
        return math.inf
    i = int(above[0])
    share = (target - y[i - 1]) / (y[i] - y[i - 1])
    return float(math.exp(math.log(at[i - 1]) + share * (math.log(at[i]) - math.log(at[i - 1]))))


def worth(sizes: Sequence[float], scratch: np.ndarray, pretrained: np.ndarray) -> Estimate:
    """How many rows random weights need for the accuracy of a pretrained network, with its interval over seeds.

    Args:
        sizes: rows at which random weights were trained, `(M,)`, increasing.
        scratch: their accuracy, `(seeds, M)`.
        pretrained: accuracy of the pretrained network at the size in question, `(seeds,)`.
    """
    return over_seeds(lambda s, p: reached(sizes, s.mean(0), float(p.mean())), scratch, pretrained)


def over_seeds(value: Callable[..., float], *measured: np.ndarray, draws: int = DRAWS) -> Estimate:
    """`value` of the measured arrays, whose first axis is seeds, and its interval: seeds drawn again with replacement.

    The order of seeds must not matter to `value`. With one seed, nothing is known of the interval: it is infinite on both sides.
    """
    seeds = len(measured[0])
    middle = value(*measured)
    if seeds < 2:
        return Estimate(middle, -math.inf, math.inf)
    rng = np.random.default_rng(0)  # the same table of the same runs
    drawn = np.sort(rng.integers(seeds, size=(draws, seeds)))
    kinds, which = np.unique(drawn, axis=0, return_inverse=True)  # of five seeds there are 126
    values = np.array([value(*(part[rows] for part in measured)) for rows in kinds])
    found = np.sort(values[which.ravel()])
    # not interpolated: some may be infinite
    return Estimate(middle, float(found[int(0.025 * draws)]), float(found[math.ceil(0.975 * draws) - 1]))


def first_step(curve: Sequence[tuple[float, float]], target: float) -> float:
    """The first step at which a learning curve `(step, value)` reaches `target`, interpolated; infinite if never."""
    before: tuple[float, float] | None = None
    for step, value in curve:
        if value >= target:
            if before is None:
                return float(step)
            share = (target - before[1]) / (value - before[1])
            return float(before[0] + share * (step - before[0]))
        before = (step, value)
    return math.inf
