"""Logit adjustment is its paper's equation, in training alone."""

import math

import pytest
import torch

from hfft.errors import DataError
from hfft.strategy.loss.logit_adjustment import log_prior
from hfft.strategy.method import At, Setting
from hfft.tasks.problem import PROBLEMS
from tests.examples import SINGLE, tiny
from tests.training import methods_of


def built(class_ids, tau=1.0):
    [method] = methods_of(logit_adjustment=tau)
    import numpy as np

    method.start(
        Setting(tiny("bert"), set(), PROBLEMS[SINGLE], 3, 0, torch.device("cpu"), class_ids=np.array(class_ids))
    )
    return method


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_it_is_the_equation(tau):
    method = built([0] * 6 + [1] * 3 + [2], tau)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    prior = torch.tensor([0.6, 0.3, 0.1])
    expected = -torch.log_softmax(logits + tau * prior.log(), 1)[torch.arange(4), labels]
    found = method.example_loss(PROBLEMS[SINGLE].loss, logits, labels, At(0, 0, 0.0, 0))
    torch.testing.assert_close(found, expected)


def test_the_prior_is_the_share_of_the_rows():
    assert log_prior([1, 3]) == pytest.approx([math.log(0.25), math.log(0.75)])


def test_a_class_without_rows_is_refused():
    with pytest.raises(DataError, match="class 2 has no rows, so that the logarithm of its share is undefined"):
        built([0, 1, 1])
