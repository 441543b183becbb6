"""Huber's loss is quadratic up to delta and linear beyond."""

import numpy as np
import pytest
import torch

from hfft.strategy.loss.huber import huber
from tests.examples import REGRESSION
from tests.strategy.noisy import LOGITS, loss_of, started

TARGETS = np.array([[2.5, -1.0, 9.0], [0.0, 0.0, 0.0], [-3.0, 0.0, 1.1], [1.0, 2.0, -2.0], [5.0, -5.0, 0.9]])


@pytest.mark.parametrize("delta", [0.3, 1.0, 4.0])
def test_it_is_the_equation(delta):
    e = np.abs(TARGETS - LOGITS)
    expected = np.where(e <= delta, e**2 / 2, delta * (e - delta / 2)).mean(1)
    found = loss_of(started({"huber": delta}, problem=REGRESSION), labels=TARGETS, problem=REGRESSION)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_an_outlier_pulls_no_harder_than_delta():
    outputs = torch.tensor([[0.0], [0.0], [0.0]], requires_grad=True)
    huber(outputs, torch.tensor([0.1, 3.0, -1000.0]), 0.5).sum().backward()
    torch.testing.assert_close(outputs.grad[:, 0], torch.tensor([-0.1, -0.5, 0.5]))


def test_labels_may_have_one_dimension_only():
    outputs = torch.randn(4, 1)
    torch.testing.assert_close(huber(outputs, torch.arange(4)), huber(outputs, torch.arange(4)[:, None]))
