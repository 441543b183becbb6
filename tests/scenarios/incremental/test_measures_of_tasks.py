"""Accuracy by task, forgetting and transfer, by hand."""

import math

import numpy as np
import pytest

from hfft.evaluate.outputs import Outputs
from hfft.scenarios.incremental.measures import (
    average_accuracy,
    backward_transfer,
    forgetting,
    over_rows,
    task_accuracies,
)
from hfft.tasks.labels import Labels

SINGLE = "single_label_classification"


def outputs(logits, truth, names=("a", "b", "c")):
    """Outputs of some rows."""
    zeros = np.zeros(len(truth), np.float32)
    return Outputs(
        "test", "given", Labels.of(SINGLE, names), zeros, zeros, np.array(logits, np.float32), np.array(truth)
    )


ROWS = outputs([[3, 0, 0], [0, 1, 2], [0, 1, 2], [0, 0, 1]], [0, 1, 1, 2])


def test_a_row_is_answered_among_all_classes():
    assert task_accuracies(ROWS, [["a", "b"], ["c"]]) == ([pytest.approx(1 / 3), 1.0], [3, 1])


def test_a_row_whose_task_is_told_is_answered_among_its_classes():
    assert task_accuracies(ROWS, [["a", "b"], ["c"]], task_incremental=True) == ([1.0, 1.0], [3, 1])


def test_the_order_of_classes_in_a_task_does_not_matter():
    assert task_accuracies(ROWS, [["c"], ["b", "a"]]) == ([1.0, pytest.approx(1 / 3)], [1, 3])


def test_a_task_without_rows_has_no_accuracy_and_does_not_count():
    found, counts = task_accuracies(outputs([[1, 0, 0]], [0]), [["a"], ["b", "c"]])
    assert counts == [1, 0]
    assert math.isnan(found[1])
    assert over_rows(found, counts) == 1.0
    assert math.isnan(over_rows([math.nan], [0]))


MATRIX = [[0.9], [0.8, 0.7], [0.85, 0.5, 0.6]]


def test_forgetting_is_from_the_best_and_transfer_from_when_it_was_learned():
    assert forgetting(MATRIX) == pytest.approx(((0.9 - 0.85) + (0.7 - 0.5)) / 2)
    better = [[0.5], [0.9, 0.7], [0.8, 0.7, 0.6]]
    assert forgetting(better) == pytest.approx((0.1 + 0.0) / 2)
    assert backward_transfer(better) == pytest.approx((0.3 + 0.0) / 2)
    assert backward_transfer(MATRIX) == pytest.approx(-((0.05) + 0.2) / 2)
    assert forgetting([[0.9]]) == backward_transfer([[0.9]]) == 0.0


def test_a_task_without_test_rows_is_left_out_of_the_means():
    assert forgetting([[0.9], [0.8, math.nan], [0.7, math.nan, 0.6]]) == pytest.approx(0.2)


def test_the_average_is_over_tasks_of_the_accuracy_over_rows():
    counts = [[10], [10, 30], [10, 30, 20]]
    expected = np.mean([0.9, (9 - 1 + 21) / 40, (8.5 + 15 + 12) / 60])
    assert average_accuracy(MATRIX, counts) == pytest.approx(expected)
