"""PolyLoss is its paper's equation."""

import pytest
import torch

from hfft.strategy.method import At
from hfft.tasks.problem import PROBLEMS
from tests.examples import SINGLE
from tests.training import methods_of


@pytest.mark.parametrize("epsilon", [-1.0, 1.0, 2.0])
def test_it_is_the_equation(epsilon):
    [method] = methods_of(poly=epsilon)
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    p = logits.softmax(1)[torch.arange(6), labels]
    found = method.example_loss(PROBLEMS[SINGLE].loss, logits, labels, At(0, 0, 0.0, 0))
    torch.testing.assert_close(found, -p.log() + epsilon * (1 - p))
