"""EasyTL's linear programme against every possible assignment, and its prices."""

import itertools

import numpy as np
import pytest

from hfft.classifier import ClassifierSpec, fit
from hfft.classifier.easytl import assign, prices, solve
from hfft.errors import BadInput


def cheapest(costs):
    """The least cost of all assignments that leave no class empty, by trying each."""
    rows, classes = costs.shape
    return min(
        sum(costs[i, k] for i, k in enumerate(choice))
        for choice in itertools.product(range(classes), repeat=rows)
        if len(set(choice)) == classes
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_programme_is_as_cheap_as_the_cheapest_assignment(seed):
    rng = np.random.default_rng(seed)
    costs = rng.random((5, 3)) + np.array([0, rng.choice([0, 0.5, 3]), 1])  # some classes are the nearest of no row
    for found in (solve(costs), assign(costs)):
        assert set(np.unique(found)) <= {0.0, 1.0}
        assert (found.sum(axis=1) == 1).all()
        assert (found.sum(axis=0) >= 1).all()
        assert (costs * found).sum() == pytest.approx(cheapest(costs))


@pytest.mark.parametrize("seed", range(12))
def test_prices_send_every_row_where_the_programme_sent_it(seed):
    rng = np.random.default_rng(seed)
    costs = rng.random((40, 6)) + np.array([0, 0, 1, 2, 0.5, 0.9])
    classes = solve(costs).argmax(axis=1)
    found = prices(costs, classes)
    assert np.array_equal((costs - found).argmin(axis=1), classes)
    assert (found >= 0).all()
    assert not found[np.bincount(classes, minlength=6) > 1].any()
    # strong duality: the prices prove that no assignment is cheaper
    least = (costs - found).min(axis=1).sum() + found.sum()
    assert least == pytest.approx(costs[np.arange(40), classes].sum())


def test_every_class_gets_a_target_row_where_nearest_centres_leave_one_empty():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(k, 0.1, (20, 2)) for k in range(3)])
    target = np.concatenate([rng.normal(0, 0.1, (20, 2)), rng.normal(1, 0.1, (20, 2))])  # none near the third
    fitted = fit(ClassifierSpec(type="easytl"), x, np.repeat(np.arange(3), 20), target=target)
    classes = fitted.probabilities(target).argmax(axis=1)
    assert np.bincount(classes).tolist() == [20, 19, 1]
    assert target[classes == 2].sum() == max(target.sum(axis=1))


def test_fewer_target_rows_than_classes_are_refused():
    x = np.random.default_rng(0).normal(size=(9, 2))
    with pytest.raises(BadInput, match="2 target rows for 3 classes"):
        fit(ClassifierSpec(type="easytl"), x, np.arange(9) % 3, target=x[:2])


def test_without_target_rows_it_is_refused():
    x = np.random.default_rng(0).normal(size=(9, 2))
    with pytest.raises(BadInput, match=r"data\.sets\.target"):
        fit(ClassifierSpec(type="easytl"), x, np.arange(9) % 3)
