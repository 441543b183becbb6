"""Balanced sampling: every class alike, from the epoch that was asked for."""

import numpy as np
import pytest

from hfft.strategy.sample.balanced import balanced_order
from tests.strategy.cases import CASES, trainer_of


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
