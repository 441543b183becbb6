"""Generalised cross-entropy is its paper's equation, between cross-entropy and the mean absolute error."""

import numpy as np
import pytest
import torch

from hfft.strategy.loss.gce import gce
from tests.strategy.noisy import LABELS, LOGITS, softmax, total


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_it_is_the_equation(q):
    p = softmax(LOGITS)[np.arange(5), LABELS]
    found = gce(torch.tensor(LOGITS), torch.tensor(LABELS), q)
    np.testing.assert_allclose(found, (1 - p**q) / q, rtol=1e-10)


def test_towards_q_of_0_it_is_cross_entropy():
    logits, labels = torch.tensor(LOGITS), torch.tensor(LABELS)
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(gce(logits, labels, 1e-7), expected, rtol=1e-5, atol=0)


def test_the_gradient_is_cross_entropys_times_the_probability_to_the_power_of_q():
    logits = torch.tensor(LOGITS, requires_grad=True)
    labels = torch.tensor(LABELS)
    [found] = torch.autograd.grad(gce(logits, labels, 0.7).sum(), logits)
    [plain] = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"), logits)
    p = logits.detach().softmax(1).gather(1, labels[:, None])
    torch.testing.assert_close(found, p**0.7 * plain)


def test_a_label_that_is_all_but_impossible_has_a_finite_loss_and_gradient():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = gce(logits, torch.tensor([1]), 0.7)
    loss.sum().backward()
    assert loss.item() == pytest.approx(1 / 0.7)
    assert logits.grad.isfinite().all()


def test_classes_that_are_asked_about_are_answered_one_by_one():
    logits = torch.tensor(LOGITS)
    every = gce(logits, torch.arange(3).expand(5, -1), 0.7)
    for c in range(3):
        torch.testing.assert_close(every[:, c], gce(logits, torch.full((5,), c), 0.7))


def test_of_mixed_rows_each_label_counts_by_its_share():
    p = softmax(LOGITS)
    others, share = (LABELS + 1) % 3, np.array([0.9, 0.5, 0.2, 1.0, 0.0])
    losses = [(1 - p[np.arange(5), labels] ** 0.7) / 0.7 for labels in (LABELS, others)]
    expected = share * losses[0] + (1 - share) * losses[1]
    assert total({"gce": 0.7}, share, others) == pytest.approx(expected.sum(), rel=1e-10)
