"""The second stream: which rows of a set go with which of the task, in every epoch."""

import numpy as np
import pytest
import torch

from hfft.strategy.random_numbers import rows_in_turn
from tests.strategy.test_options import SHIFT
from tests.training import methods_of


def drawn(n, size, epochs, ratio=1, seed=0):
    """The rows of the set that `epochs` epochs of `n` training rows read: epoch -> `(ratio, n)`."""
    numbers = np.random.default_rng(1).permutation(n)
    return [
        np.stack([rows_in_turn(numbers, size, epoch, seed, n, copy, ratio) for copy in range(ratio)])
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize(("n", "size"), [(10, 10), (10, 3), (3, 10), (7, 13), (1, 5), (5, 1)])
@pytest.mark.parametrize("ratio", [1, 3])
def test_either_stream_may_be_shorter_and_every_row_is_read_equally_often(n, size, ratio):
    epochs = drawn(n, size, epochs=size, ratio=ratio)
    counts = np.bincount(np.concatenate([epoch.ravel() for epoch in epochs]), minlength=size)
    assert counts.tolist() == [n * ratio] * size
    most = np.bincount(epochs[0].ravel(), minlength=size)
    assert most.max() - most.min() <= 1


def test_the_order_is_drawn_anew_in_each_turn_and_from_the_seed():
    first, second = drawn(12, 12, epochs=2)
    assert (first != second).any()
    assert (first != drawn(12, 12, 1, seed=1)[0]).any()
    assert np.array_equal(first, drawn(12, 12, 1)[0])


def test_which_rows_go_with_a_row_does_not_depend_on_its_batch():
    whole = rows_in_turn(np.arange(20), 7, 3, 0, 20, 1, 2)
    parts = [rows_in_turn(np.arange(20)[i::3], 7, 3, 0, 20, 1, 2) for i in range(3)]
    for i, part in enumerate(parts):
        assert np.array_equal(part, whole[i::3])


def test_without_the_number_of_training_rows_each_epoch_is_a_turn_of_its_own():
    assert np.bincount(rows_in_turn(np.arange(14), 7, 2, 0)).tolist() == [2] * 7


@pytest.mark.parametrize("name", SHIFT)
def test_the_share_is_that_of_the_recipe(name):
    [method] = methods_of(**{name: {"on": "target", "ratio": 3}})
    method.size, method.rows = 5, 8
    found = method.companions(np.arange(4), 0, 0)
    assert list(found) == ["target", "target#2", "target#3"]
    assert {companion.of for companion in found.values()} == {"target"}
    assert [len(companion.rows) for companion in found.values()] == [4, 4, 4]
    assert method.passes == 4


def test_parts_are_joined_and_averaged_row_by_row():
    [method] = methods_of(dan={"on": "x", "ratio": 2})
    parts = {"task": torch.zeros(3), "x": torch.tensor([1.0, 2, 3]), "x#2": torch.tensor([3.0, 4, 5])}
    joined = method.target(parts)
    assert joined.tolist() == [1, 2, 3, 3, 4, 5]
    assert method.row_means(joined).tolist() == [2, 3, 4]


def test_methods_on_one_set_share_its_rows():
    found = {}
    for method in methods_of(mcc="target", dann="target", bsp="target"):
        method.size, method.rows = 5, 8
        mine = method.companions(np.arange(4), 1, 0)
        assert not found or np.array_equal(found["target"].rows, mine["target"].rows)
        found |= mine
    assert list(found) == ["target"]
