"""The quantile loss is its equation, and is smallest at the quantile."""

import numpy as np
import pytest
import torch

from hfft.strategy.loss.quantile import quantile_loss
from tests.examples import REGRESSION
from tests.strategy.loss.test_huber import TARGETS
from tests.strategy.noisy import LOGITS, loss_of, started


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_it_is_the_equation(tau):
    e = TARGETS - LOGITS
    expected = np.where(e >= 0, tau * e, (tau - 1) * e).mean(1)
    found = loss_of(started({"quantile": tau}, problem=REGRESSION), labels=TARGETS, problem=REGRESSION)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("tau", [0.25, 0.5, 0.9])
def test_a_constant_that_learns_becomes_the_quantile(tau):
    targets = torch.tensor(np.random.default_rng(0).exponential(size=1001))
    guesses = torch.linspace(0, 4, 4001, dtype=torch.float64)
    losses = torch.stack([quantile_loss(guess.expand(1001, 1), targets, tau).mean() for guess in guesses])
    assert guesses[losses.argmin()].item() == pytest.approx(targets.quantile(tau).item(), abs=1e-3)


def test_half_of_the_absolute_error_is_the_medians():
    outputs, labels = torch.randn(5, 2), torch.randn(5, 2)
    torch.testing.assert_close(quantile_loss(outputs, labels), (outputs - labels).abs().mean(1) / 2)
