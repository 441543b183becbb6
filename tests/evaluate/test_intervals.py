"""Intervals over rows: against SciPy, their coverage by simulation, and two models on the same rows."""

import numpy as np
import pytest
from scipy import stats

from hfft.evaluate.intervals import NORMAL, bootstrap, mcnemar, paired_difference, resamples, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 12), (50, 100)])
def test_the_interval_holds_the_shares_that_would_not_be_rare(right, n):
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    for edge in (low, high):  # its definition: the distance from an edge is so many deviations there
        if 0 < edge < 1:
            assert abs(right / n - edge) == pytest.approx(NORMAL * np.sqrt(edge * (1 - edge) / n), abs=1e-9)


@pytest.mark.parametrize(("right", "n"), [(0, 7), (3, 7), (7, 7), (471, 500), (1, 100_000)])
def test_wilsons_interval_is_that_of_scipy(right, n):
    expected = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("right", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_a_proportion_of_no_rows_or_more_than_all_is_refused(right, n):
    with pytest.raises(ValueError, match="at most all"):
        wilson(right, n)


def mean_of(values):
    return lambda weights: {"mean": weights @ values / weights.sum(1)}


def test_the_bootstrap_is_that_of_scipy():
    values = np.random.default_rng(0).exponential(size=300)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    found = bootstrap(mean_of(values), 300, seed=0)["mean"]
    assert found["value"] == pytest.approx(values.mean())
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected), abs=0.02)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng, rounds, covered = np.random.default_rng(0), 1000, [0, 0]
    for seed in range(rounds):
        right = rng.random(200) < 0.85
        low, high = wilson(int(right.sum()), 200)
        covered[0] += low <= 0.85 <= high
        if seed < 300:
            found = bootstrap(mean_of(right.astype(float)), 200, seed)["mean"]
            covered[1] += found["low"] <= 0.85 <= found["high"]
    assert 0.93 <= covered[0] / rounds <= 0.97
    assert 0.92 <= covered[1] / 300 <= 0.98  # of fewer rounds


def test_a_figure_that_is_not_finite_is_left_out_and_large_splits_get_fewer_resamples():
    found = bootstrap(lambda weights: {"none": np.full(len(weights), np.nan), "all": weights.sum(1)}, 5, 0)
    assert found == {"all": {"value": 5.0, "low": 5.0, "high": 5.0}}
    assert (resamples(100), resamples(1_000_000), resamples(10_000, cost=100)) == (1000, 200, 200)


def test_two_models_on_the_same_rows():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(400) < 0.9, rng.random(400) < 0.7
    found = paired_difference(ours, theirs, seed=0)
    assert found["value"] == pytest.approx(ours.mean() - theirs.mean())
    assert 0 < found["low"] < found["value"] < found["high"]
    only = [(ours & ~theirs).sum(), (theirs & ~ours).sum()]
    assert mcnemar(ours, theirs) == pytest.approx(stats.binomtest(int(only[0]), int(sum(only)), 0.5).pvalue)
    assert mcnemar(ours, ours) == 1.0
    with pytest.raises(ValueError, match="the same rows"):
        paired_difference(ours, theirs[:-1], seed=0)
