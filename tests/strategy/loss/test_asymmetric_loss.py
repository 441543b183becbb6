"""The asymmetric loss is its paper's equation, averaged over the classes."""

import numpy as np
import pytest
import torch

from hfft.strategy.loss.asymmetric_loss import asymmetric_loss
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI
from tests.strategy.noisy import LOGITS, sigmoid, total

MANY = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], float)
OTHERS = MANY[::-1].copy()


def by_hand(neg, pos, clip, labels=MANY):
    p = sigmoid(LOGITS)
    q = np.maximum(p - clip, 0)
    return -(labels * (1 - p) ** pos * np.log(p) + (1 - labels) * q**neg * np.log(1 - q)).mean(1)


@pytest.mark.parametrize(("neg", "pos", "clip"), [(4.0, 0.0, 0.05), (2.0, 1.0, 0.2), (0.5, 0.5, 0.0), (0.0, 0.0, 0.3)])
def test_it_is_the_equation(neg, pos, clip):
    found = asymmetric_loss(torch.tensor(LOGITS), torch.tensor(MANY), neg, pos, clip)
    np.testing.assert_allclose(found, by_hand(neg, pos, clip), rtol=1e-5, atol=1e-9)


def test_without_options_it_is_binary_cross_entropy():
    logits, labels = torch.tensor(LOGITS), torch.tensor(MANY)
    torch.testing.assert_close(asymmetric_loss(logits, labels, 0.0, 0.0, 0.0), PROBLEMS[MULTI].loss(logits, labels))


def test_a_label_that_a_row_lacks_costs_nothing_below_the_clip():
    logits = torch.tensor([[-4.0, -3.5]], dtype=torch.float64, requires_grad=True)
    loss = asymmetric_loss(logits, torch.zeros(1, 2))
    loss.sum().backward()
    assert loss.item() == 0
    assert logits.grad.eq(0).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_certain_rows_have_finite_losses_and_gradients(gamma, clip):
    logits = torch.tensor([[200.0, -200.0, 200.0, -200.0]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([[1.0, 0.0, 0.0, 1.0]]), gamma, gamma, clip)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()


def test_of_mixed_rows_the_labels_of_each_count_by_its_share():
    share = np.array([0.9, 0.5, 0.2, 1.0, 0.0])
    expected = share * by_hand(4.0, 0.0, 0.05) + (1 - share) * by_hand(4.0, 0.0, 0.05, OTHERS)
    found = total({"asymmetric_loss": {}}, share, OTHERS, labels=MANY, problem=MULTI)
    assert found == pytest.approx(expected.sum(), rel=1e-5)


def test_no_row_is_no_loss():
    assert asymmetric_loss(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)
