"""Groups, gaps and the estimate without labels against plain versions of their formulas."""

import numpy as np
import pytest
from scipy.stats import entropy

from hfft.evaluate import shift
from hfft.evaluate.intervals import difference_of_shares, wilson
from hfft.evaluate.shift import Result

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),  # Newcombe 1998, table II, method 10
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(shares, expected):
    assert difference_of_shares(*shares) == pytest.approx(expected, abs=5e-5)


def test_a_noisy_group_is_the_worst():
    right = (RNG.random(600) < 0.95).astype(float)
    names = RNG.choice(["north", "south", "east"], 600)
    noisy = (names == "east") & (RNG.random(600) < 0.3)
    right[noisy] = 0
    found = shift.groups(names, Result("accuracy", right), 0)
    assert found[0]["group"] == "east"
    for row in found:
        part = right[names == row["group"]]
        low, high = wilson(int(part.sum()), len(part))
        assert row == {
            "group": row["group"],
            "n": len(part),
            "accuracy": {"value": part.mean(), "low": low, "high": high},
        }


def test_groups_of_few_rows_come_last():
    right = np.array([0.0] * 9 + [1.0] * 10 + [0.0] * 5 + [1.0] * 5)
    found = shift.groups(["few"] * 9 + ["all right"] * 10 + ["half"] * 10, Result("accuracy", right), 0)
    assert [row["group"] for row in found] == ["half", "all right", "few"]


def test_groups_of_values_are_worst_where_the_error_is_largest():
    errors = np.concatenate([np.full(20, 0.5), np.full(20, 2.0)]) + 0.01 * RNG.random(40)
    found = shift.groups([1] * 20 + [2] * 20, Result("mae", errors), 0)
    assert [row["group"] for row in found] == ["2", "1"]
    assert found[0]["mae"]["low"] < found[0]["mae"]["value"] == pytest.approx(errors[20:].mean())


def test_gaps_are_larger_where_it_is_worse():
    here, there = (
        Result("accuracy", np.repeat([1.0, 0.0], [90, 10])),
        Result("accuracy", np.repeat([1.0, 0.0], [60, 40])),
    )
    low, high = difference_of_shares(90, 100, 60, 100)
    assert here.gap(there, 0) == pytest.approx({"value": 0.3, "low": low, "high": high})
    errors = Result("mae", RNG.random(200)), Result("mae", RNG.random(100) + 1)
    gap = errors[0].gap(errors[1], 0)
    assert gap["value"] == pytest.approx(errors[1].values.mean() - errors[0].values.mean())
    assert gap["low"] < gap["value"] < gap["high"]


def official(scores, right):
    """`find_ATC_threshold` of the paper's code: false positives and false negatives are as nearly equal as possible."""
    order = np.argsort(scores)
    fp, fn, least, threshold = int((~right).sum()), 0, int((~right).sum()), 0.0
    for score, correct in zip(scores[order], right[order], strict=True):
        fp, fn = (fp, fn + 1) if correct else (fp - 1, fn)
        if abs(fp - fn) < least:
            least, threshold = abs(fp - fn), score
    return threshold


@pytest.mark.parametrize("seed", range(5))
def test_atc_is_the_papers(seed):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(5) * 0.4, 500), rng.dirichlet(np.ones(5) * 0.7, 400)
    right = rng.random(500) < p.max(1)
    ours = shift.negative_entropy(p)
    np.testing.assert_allclose(ours, -entropy(p, axis=1))
    threshold = shift.atc_threshold(ours, right)
    assert shift.atc(ours, threshold) == pytest.approx(right.mean())  # on the rows that it was fitted on
    theirs = (shift.negative_entropy(q) >= official(ours, right)).mean()
    # theirs counts the row of the threshold itself as below it when it chooses, and above when it estimates
    assert shift.atc(shift.negative_entropy(q), threshold) == pytest.approx(theirs, abs=3 / 500)


def test_atc_where_all_rows_are_right_or_wrong():
    sure = np.array([-0.1, -0.5, -0.9])
    assert shift.atc(sure, shift.atc_threshold(sure, np.ones(3, bool))) == 1
    assert shift.atc(sure, shift.atc_threshold(sure, np.zeros(3, bool))) == 0
    assert shift.negative_entropy(np.array([[1.0, 0.0]])).tolist() == [0.0]
