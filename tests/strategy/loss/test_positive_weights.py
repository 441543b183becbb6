"""Positive weights multiply the loss of the labels that rows have, and balance them against those that they lack."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfft.errors import BadInput, DataError
from hfft.strategy.spec import Strategy
from tests.examples import MULTI
from tests.strategy.noisy import LOGITS, loss_of, sigmoid, started, total

MANY = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], float)
GIVEN = {"a": 2.0, "c": 0.5, "b": 3.0}


def by_hand(weights, labels=MANY):
    p, w = sigmoid(LOGITS), np.array(weights)
    return -(w * labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean(1)


@pytest.mark.parametrize(
    ("given", "weights"), [(4.0, [4, 4, 4]), (GIVEN, [2, 3, 0.5]), ("balanced", [3 / 2, 3 / 2, 2 / 3])]
)
def test_they_are_the_equation(given, weights):
    method = started({"positive_weights": given}, problem=MULTI, class_ids=MANY)
    np.testing.assert_allclose(loss_of(method, labels=MANY, problem=MULTI), by_hand(weights), rtol=1e-6)


def test_of_mixed_rows_the_labels_of_each_count_by_its_share():
    share, others = np.array([0.9, 0.5, 0.2, 1.0, 0.0]), MANY[::-1].copy()
    expected = share * by_hand([4, 4, 4]) + (1 - share) * by_hand([4, 4, 4], others)
    found = total({"positive_weights": 4.0}, share, others, labels=MANY, problem=MULTI)
    assert found == pytest.approx(expected.sum(), rel=1e-6)


@pytest.mark.parametrize(("column", "said"), [(0.0, "no row has class b"), (1.0, "each row has class b")])
def test_a_class_that_cannot_be_balanced_is_refused_by_name(column, said):
    ids = MANY.copy()
    ids[:, 1] = column
    with pytest.raises(DataError, match=rf"strategy\.positive_weights: {said}, .* give the weights by name"):
        started({"positive_weights": "balanced"}, problem=MULTI, class_ids=ids)


def test_weights_of_other_classes_are_refused():
    with pytest.raises(BadInput, match=r"strategy\.positive_weights: expected one weight for each of a, b, c"):
        started({"positive_weights": {"a": 2.0}}, problem=MULTI, class_ids=MANY)


@pytest.mark.parametrize("value", ["balanced", 4.0, GIVEN])
def test_the_recipe_is_written_as_it_was_read(value):
    assert Strategy.model_validate({"positive_weights": value}).plain()["positive_weights"] == value


def test_the_rows_of_each_class_are_counted_from_the_data():
    from datasets import Dataset

    from hfft.pipeline.row_groups import class_ids
    from hfft.tasks.labels import Labels

    splits = SimpleNamespace(train=Dataset.from_dict({"labels": MANY.tolist()}))
    found = class_ids(splits, Labels.of(MULTI, ["a", "b", "c"]))
    np.testing.assert_array_equal(found, MANY)


def test_they_are_torchs_pos_weight():
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 3.0, 0.5]))(
        torch.tensor(LOGITS), torch.tensor(MANY)
    )
    method = started({"positive_weights": GIVEN}, problem=MULTI, class_ids=MANY)
    torch.testing.assert_close(loss_of(method, labels=MANY, problem=MULTI).mean(), expected)
