"""Means, spreads and intervals against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hfft.studies.intervals import paired, summarise

VALUES = [0.91, 0.934, 0.902, 0.951, 0.9]
OTHERS = [0.88, 0.93, 0.91, 0.92, 0.87]


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_a_summary_is_the_t_interval_of_scipy(level):
    found = summarise(VALUES, level)
    expected = stats.ttest_1samp(VALUES, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert (found.mean, found.sd, found.n) == pytest.approx((np.mean(VALUES), np.std(VALUES, ddof=1), 5))
    assert found.half == pytest.approx((expected.high - expected.low) / 2)


@pytest.mark.parametrize("count", [2, 3, 21, 100])
def test_the_interval_is_that_of_students_t_for_any_count(count):
    values = np.random.default_rng(count).normal(0.9, 0.02, count).tolist()
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (summarise(values).low, summarise(values).high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_a_paired_difference_is_that_of_the_paired_t_test():
    found, expected = paired(VALUES, OTHERS), stats.ttest_rel(VALUES, OTHERS)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert found.differs == (expected.pvalue < 0.05)
    assert not paired(VALUES, [*VALUES[1:], VALUES[0]]).differs


def test_overlapping_training_rows_widen_the_interval_by_nadeau_and_bengio():
    plain, corrected = summarise(VALUES), summarise(VALUES, overlap=1 / 4)
    assert corrected.half / plain.half == pytest.approx(math.sqrt((1 / 5 + 1 / 4) / (1 / 5)))


def test_one_value_has_no_interval_and_none_has_no_mean():
    found = summarise([0.5])
    assert (found.mean, found.sd, found.n, found.low, found.high) == (0.5, 0.0, 1, -math.inf, math.inf)
    assert not found.differs
    with pytest.raises(ValueError, match="no values"):
        summarise([])
    with pytest.raises(ValueError, match="zip"):
        paired([1.0, 2.0], [1.0])
