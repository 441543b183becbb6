"""Focal loss is its paper's equation."""

import pytest
import torch

from hfft.strategy.loss.focal import binary_focal, focal
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI
from tests.strategy.cases import CASES, trainer_of


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_it_is_the_equation(gamma):
    logits, labels = torch.randn(7, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    p = logits.softmax(1)[torch.arange(7), labels]
    torch.testing.assert_close(focal(logits, labels, gamma), -((1 - p) ** gamma) * p.log())


def test_at_gamma_zero_it_is_cross_entropy():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(
        focal(logits, labels, 0.0), torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    )


def test_classes_that_are_asked_about_are_answered_one_by_one():
    logits = torch.randn(5, 3)
    every = focal(logits, torch.arange(3).expand(5, -1))
    for c in range(3):
        torch.testing.assert_close(every[:, c], focal(logits, torch.full((5,), c)))


def test_no_row_is_no_loss():
    assert focal(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_a_row_that_is_certain_has_a_finite_gradient():
    logits = torch.tensor([[100.0, -100.0]], requires_grad=True)
    focal(logits, torch.tensor([0]), 0.5).sum().backward()
    assert logits.grad.isfinite().all()


def test_the_closing_check_asks_for_its_own_loss_of_a_uniform_guess(tmp_path):
    from hfft.train.step_loss import uniform_guess

    trainer = trainer_of(CASES["focal"], tmp_path)
    guess = uniform_guess(trainer.problem, trainer.steps.of["example_loss"], trainer.setting.class_ids, 3, trainer.at())
    assert guess == pytest.approx((2 / 3) ** 2 * torch.log(torch.tensor(3.0)).item())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_of_several_labels_it_is_the_equation_for_each_class(gamma):
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.randint(2, (6, 4))
    p = logits.sigmoid()
    p = torch.where(labels == 1, p, 1 - p)
    torch.testing.assert_close(binary_focal(logits, labels, gamma), -((1 - p) ** gamma * p.log()).mean(1))


def test_of_several_labels_at_gamma_zero_it_is_binary_cross_entropy():
    logits, labels = torch.randn(5, 3), torch.randint(2, (5, 3)).float()
    torch.testing.assert_close(binary_focal(logits, labels, 0.0), PROBLEMS[MULTI].loss(logits, labels))


def test_of_several_labels_a_certain_row_has_a_finite_gradient():
    logits = torch.tensor([[200.0, -200.0, 200.0, -200.0]], requires_grad=True)
    binary_focal(logits, torch.tensor([[1, 0, 0, 1]]), 0.5).sum().backward()
    assert logits.grad.isfinite().all()
