"""Class weights by effective number are their paper's equation, from equal weights to balanced ones."""

import numpy as np
import pytest
import torch

from hfft.errors import DataError
from hfft.strategy.loss.class_weights import balanced_weights, effective_number_weights
from hfft.strategy.spec import Strategy
from tests.strategy.noisy import LABELS, loss_of, started

COUNTS = [5000, 300, 5]


@pytest.mark.parametrize("beta", [0.5, 0.99, 0.9999])
def test_they_are_the_equation_with_a_mean_over_the_data_of_1(beta):
    n = np.array(COUNTS)
    paper = (1 - beta) / (1 - beta**n)
    found = np.array(effective_number_weights(COUNTS, beta))
    np.testing.assert_allclose(found / found[0], paper / paper[0], rtol=1e-9)
    assert (n * found).sum() / n.sum() == pytest.approx(1)


def test_they_lie_between_equal_and_balanced():
    assert effective_number_weights(COUNTS, 0) == [1, 1, 1]
    np.testing.assert_allclose(effective_number_weights(COUNTS, 1 - 1e-12), balanced_weights(COUNTS), rtol=1e-3)


def test_they_weigh_the_loss_of_each_row():
    found = loss_of(started({"class_weights": {"effective_number": 0.9}}, (6, 3, 1)))
    weights = np.array(effective_number_weights([6, 3, 1], 0.9))
    plain = loss_of(started({"class_weights": {"a": 1.0, "b": 1.0, "c": 1.0}}))
    np.testing.assert_allclose(found, plain * weights[LABELS], rtol=1e-6)


def test_a_class_without_rows_is_refused():
    with pytest.raises(DataError, match=r"strategy\.class_weights: class 1 has no examples and cannot be balanced"):
        started({"class_weights": {"effective_number": 0.9}}, (6, 0, 1))


@pytest.mark.parametrize("value", ["balanced", {"a": 1.0, "b": 2.0}, {"effective_number": 0.9}])
def test_the_recipe_is_written_as_it_was_read(value):
    assert Strategy.model_validate({"class_weights": value}).plain()["class_weights"] == value


def test_a_map_of_classes_may_name_one_like_the_option():
    weights = {"effective_number": 2.0, "other": 1.0}
    assert Strategy.model_validate({"class_weights": weights}).class_weights.weights == weights


def test_they_scale_the_limit_of_the_gradient():
    method = started({"class_weights": {"effective_number": 0.9}}, (6, 3, 1))
    expected = torch.tensor(effective_number_weights([6, 3, 1], 0.9))
    torch.testing.assert_close(method.row_weights(torch.tensor([2, 0, 1])), expected[[2, 0, 1]])
