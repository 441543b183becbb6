"""Curves over rows: a fit that gives back what made the points, intervals that contain the truth."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from hfft.studies.curves import (
    Estimate,
    InversePower,
    first_step,
    fit_inverse_power,
    forecast,
    over_seeds,
    reached,
    worth,
)


def test_the_fit_gives_back_the_curve_that_made_the_points():
    truth, rows = InversePower(0.03, 0.9, 0.6), [20, 50, 100, 300, 1200]
    found = fit_inverse_power(rows, [truth(n) for n in rows])
    assert (found.floor, found.scale, found.power) == pytest.approx((0.03, 0.9, 0.6), abs=1e-5)
    assert found(5000) == pytest.approx(truth(5000), abs=1e-6)


def test_noisy_points_are_fitted_by_least_squares():
    rng, rows = np.random.default_rng(0), np.repeat([20, 50, 100, 300, 1200], 5)
    errors = InversePower(0.05, 1.2, 0.5)(rows) + rng.normal(0, 0.01, rows.shape)
    found = fit_inverse_power(rows, errors)

    def squares(values):
        return float(((values[0] + values[1] * rows ** -values[2] - errors) ** 2).sum())

    best = minimize(
        squares, [0.05, 1.2, 0.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 9999}
    )
    assert squares([found.floor, found.scale, found.power]) == pytest.approx(best.fun, rel=1e-6)


def test_three_sizes_give_no_floor_and_one_size_is_refused():
    assert fit_inverse_power([10, 100, 1000], [0.5, 0.2, 0.1]).floor == 0
    with pytest.raises(ValueError, match="at least two sizes, not 1"):
        fit_inverse_power([10, 10], [0.5, 0.4])


def test_a_forecast_holds_for_a_size_that_was_held_out():
    truth, rng = InversePower(0.02, 1.0, 0.5), np.random.default_rng(1)
    sizes = [20, 50, 100, 300]
    accuracy = 1 - truth(np.array(sizes)) + rng.normal(0, 0.004, (5, 4))
    found = forecast(sizes, accuracy, 1200)
    assert found.low < 1 - truth(1200) < found.high
    assert found.value == pytest.approx(1 - truth(1200), abs=0.02)


def test_where_a_curve_reaches_a_value():
    assert reached([10, 1000], [0.5, 0.9], 0.7) == pytest.approx(100)  # half way, over the logarithm
    assert reached([10, 1000], [0.5, 0.9], 0.4) == 10
    assert reached([10, 1000], [0.5, 0.9], 0.95) == math.inf
    # (0.8, 0.6) is pooled to 0.7: a lucky point alone does not reach 0.75
    assert reached([1, 2, 4, 8], [0.5, 0.8, 0.6, 0.9], 0.75) == pytest.approx(
        math.exp(math.log(4) + 0.25 * math.log(2))
    )


def test_what_pretraining_is_worth_in_rows():
    scratch = np.array([[0.5, 0.7, 0.9]] * 3)
    assert worth([100, 200, 400], scratch, np.full(3, 0.8)) == Estimate(*[pytest.approx(200 * 2**0.5)] * 3)
    assert worth([100, 200, 400], scratch, np.full(3, 0.95)).value == math.inf
    spread = worth([100, 200, 400], scratch, np.array([0.75, 0.8, 0.85]))
    assert 200 < spread.low < spread.value < spread.high < 400


def test_an_interval_over_seeds_is_the_bootstraps():
    values = np.random.default_rng(3).normal(0, 1, 30)
    found = over_seeds(lambda part: float(part.mean()), values)
    half = 1.96 * values.std() / 30**0.5  # of the mean of independent values, whose sum is nearly normal
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)
    assert found == over_seeds(lambda part: float(part.mean()), values)


def test_one_seed_has_no_interval():
    assert over_seeds(lambda part: float(part.mean()), np.array([0.5])) == Estimate(0.5, -math.inf, math.inf)


def test_the_first_step_that_reaches_a_value():
    curve = [(10, 0.5), (20, 0.7), (30, 0.6), (40, 0.9)]
    assert first_step(curve, 0.6) == pytest.approx(15)
    assert first_step(curve, 0.3) == 10
    assert first_step(curve, 0.95) == math.inf
