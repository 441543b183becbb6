"""Balanced sampling: every class alike, from the epoch that was asked for."""

import numpy as np
import pytest

from hfft.strategy.sample.balanced import balanced_order, class_shares
from tests.strategy.cases import CASES, trainer_of
from tests.training import methods_of


@pytest.mark.parametrize("counts", [(90, 9, 1), (5, 5, 5), (7, 0, 3), (4, 3, 4)])
def test_every_class_that_has_rows_is_drawn_as_often(counts):
    class_ids = np.repeat(np.arange(3), counts)
    found = balanced_order(class_ids, np.random.default_rng(0))
    assert len(found) == len(class_ids)
    drawn = np.bincount(class_ids[found], minlength=3)[np.array(counts) > 0]
    assert drawn.max() - drawn.min() <= 1


def test_the_rows_of_a_class_come_in_turn():
    class_ids = np.repeat([0, 1], [2, 10])
    found = balanced_order(class_ids, np.random.default_rng(0))
    assert np.bincount(found, minlength=12)[:2].tolist() == [3, 3]
    assert np.bincount(found, minlength=12)[2:].max() == 1


def test_the_order_is_that_of_the_epoch_and_balanced_only_after_the_one_asked_for(tmp_path):
    trainer = trainer_of(CASES["balanced"], tmp_path)
    orders = [trainer.order.method.order(epoch, 0) for epoch in (0, 1, 1, 2)]
    class_ids = trainer.setting.class_ids
    assert sorted(orders[0]) == list(range(20))
    drawn = np.bincount(class_ids[orders[1]])
    assert drawn.max() - drawn.min() <= 1
    assert (orders[1] == orders[2]).all()
    assert (orders[1] != orders[3]).any()


COUNTS = [100, 25, 1, 0]


@pytest.mark.parametrize(
    ("by", "sizes"),
    [
        ("class", [1, 1, 1, 0]),
        ("sqrt", [10, 5, 1, 0]),
        # n (1 - 0.9) / (1 - 0.9^n) by hand: Cui et al., equation 2, weights each row by the inverse of its class's number
        ("effective", [100 * 0.1 / (1 - 0.9**100), 25 * 0.1 / (1 - 0.9**25), 1, 0]),
    ],
)
def test_shares_are_the_equations(by, sizes):
    expected = np.array(sizes) / np.sum(sizes)
    np.testing.assert_allclose(class_shares(np.array(COUNTS), by, 0.9), expected, rtol=1e-12)


def test_beta_leads_from_ordinary_sampling_to_that_of_equal_classes():
    counts = np.array([100, 25, 1])
    np.testing.assert_allclose(class_shares(counts, "effective", 0.0), counts / 126)
    np.testing.assert_allclose(class_shares(counts, "effective", 1 - 1e-9), 1 / 3, rtol=1e-4)


@pytest.mark.parametrize(("by", "expected"), [("sqrt", [62.5, 31.25, 6.25]), ("class", [100 / 3] * 3)])
def test_no_class_is_more_than_a_row_away_from_its_share(by, expected):
    class_ids = np.repeat(np.arange(3), [80, 20, 1])
    shares = np.array(expected) / 100
    found = np.bincount(class_ids[balanced_order(class_ids, np.random.default_rng(3), shares)], minlength=3)
    assert found.sum() == len(class_ids)
    assert (abs(found - shares * len(class_ids)) < 1).all()


def test_rows_are_drawn_as_the_recipe_says(tmp_path):
    trainer = trainer_of(CASES["balanced"], tmp_path, methods=methods_of(balanced={"by": "sqrt"}))
    ids = np.repeat(np.arange(2), [64, 36])
    trainer.order.method.class_ids = ids
    assert np.bincount(ids[trainer.order.method.order(0, 0)]).tolist() == [57, 43]  # 8 to 6 of 100
