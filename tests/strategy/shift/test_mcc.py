"""Minimum class confusion is its paper's equation."""

import numpy as np
import pytest
import torch

from hfft.strategy.shift.mcc import mcc
from tests.training import methods_of


def by_hand(logits, temperature):
    """As the authors write it, row by row."""
    p = (logits / temperature).softmax(1)
    weight = [1 + torch.exp((row * torch.log(row + 1e-5)).sum()) for row in p]
    weight = [len(p) * w / sum(weight) for w in weight]
    classes = p.shape[1]
    confusion = torch.zeros(classes, classes, dtype=p.dtype)
    for row, w in zip(p, weight, strict=True):
        confusion += w * torch.outer(row, row)
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.diagonal().sum()) / classes


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_it_is_the_equation(temperature):
    logits = torch.randn(9, 4, dtype=torch.float64)
    torch.testing.assert_close(mcc(logits, temperature), by_hand(logits, temperature))


def test_certain_answers_are_not_confused_and_uniform_ones_as_much_as_can_be():
    assert mcc(torch.eye(4) * 1000).item() == pytest.approx(0, abs=1e-5)
    assert mcc(torch.zeros(8, 4)).item() == pytest.approx(0.75)


def test_each_row_of_the_set_is_read_in_turn():
    [method] = methods_of(mcc="target")
    method.size, method.rows = 7, 14
    found = method.companions(np.arange(14), 0, 0)["target"]
    assert found.of == "target"
    assert np.bincount(found.rows).tolist() == [2] * 7
