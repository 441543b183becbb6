"""How often each task is learned, and what its loss counts, are the formulas of their papers."""

import numpy as np
import pytest
import torch

from hfft.strategy.loss.focal import focal as focal_loss
from hfft.strategy.method import At, defines
from hfft.strategy.spec import Strategy
from hfft.strategy.tasks.grad_norm import moved
from hfft.strategy.tasks.mixing import Mixing, task_shares
from hfft.strategy.tasks.own_losses import OwnLoss, OwnLosses
from hfft.strategy.tasks.row_losses import RowLosses
from hfft.strategy.tasks.uncertainty import uncertain
from hfft.tasks.problem import PROBLEMS, problem_of
from tests.examples import REGRESSION, SEVERAL, SINGLE
from tests.strategy.cases import Case, trainer_of
from tests.training import labels_of, methods_of

AT = At(0, 0, 0.0, 0)


@pytest.mark.parametrize(
    ("spec", "shares"),
    [
        ({}, [0.9, 0.1]),
        ({"by": "sqrt"}, [0.75, 0.25]),
        ({"temperature": 2.0}, [0.75, 0.25]),
        ({"by": "equal"}, [0.5, 0.5]),
        ({"temperature": 1.0}, [0.9, 0.1]),
    ],
)
def test_a_task_has_its_share_of_an_epoch(spec, shares):
    assert task_shares(np.array([900, 100]), Mixing(**spec).power) == pytest.approx(shares)


def test_an_epoch_has_each_task_as_often_as_its_share_and_every_row_of_the_large_one_at_most_once(tmp_path):
    [method] = methods_of(mixing="equal")
    trainer_of(Case({}, problem=SEVERAL), tmp_path, rows=40, methods=[method])
    order = method.order(0, 1)
    ids, counts = np.unique(order, return_counts=True)
    tasks = np.bincount(method.task_ids[order])
    assert len(order) == 40
    assert abs(tasks[0] - tasks[1]) <= 1
    assert counts[method.task_ids[ids] == np.bincount(method.task_ids).argmax()].max() == 1
    assert (method.order(1, 1) != order).any()
    assert (method.order(0, 1) == order).all()


def test_a_loss_by_its_variance_is_kendalls():
    loss, s = torch.tensor([2.0, 3.0]), torch.tensor([0.7, -0.2])
    found = uncertain(loss, s, torch.tensor([1.0, 0.5]))
    sigma2 = torch.exp(s)
    assert torch.allclose(found, torch.tensor([1.0, 0.5]) * loss / sigma2 + torch.log(sigma2.sqrt()))


def test_factors_go_down_the_gradient_of_grad_norms_loss():
    factors = torch.tensor([1.2, 0.8, 1.0], dtype=torch.float64, requires_grad=True)
    norms, losses = torch.tensor([2.0, 0.5, 1.0]).double(), torch.tensor([1.0, 0.2, 0.9]).double()
    first = torch.tensor([2.0, 1.0, 1.0]).double()
    ratio = losses / first
    weighted = factors * norms
    target = (weighted.mean() * (ratio / ratio.mean()) ** 1.5).detach()
    (weighted - target).abs().sum().backward()
    expected = factors.detach() - 0.01 * factors.grad
    found = moved(factors.detach(), norms, losses, first, torch.ones(3, dtype=torch.bool), 1.5, 0.01)
    assert torch.allclose(found, expected * 3 / expected.sum())


def test_a_task_without_rows_in_a_step_keeps_its_factor_but_for_the_sum():
    factors, there = torch.ones(3).double(), torch.tensor([True, False, True])
    found = moved(factors, torch.tensor([2.0, 9.0, 1.0]).double(), factors, factors, there, 0.0, 0.1)
    assert found[1] == pytest.approx(3 / float((factors - torch.tensor([0.2, 0, -0.1])).sum()))


def test_the_losses_of_tasks_are_those_of_each_alone():
    labels = labels_of(SEVERAL)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([[0, 1], [0, 0], [1, 0.3], [1, -2.0], [0, 1], [1, 0]])
    focal, huber = methods_of(focal=2.0), methods_of(huber=0.3)
    own = OwnLosses([OwnLoss(1.0, focal), OwnLoss(0.5, huber)])
    own.problem = problem_of(labels)
    own.factors = torch.tensor([1.0, 0.5])
    focal[0].loss = focal_loss
    found = own.example_loss(None, logits, rows, AT)
    kinds, sizes = rows[:, 0] == 0, rows[:, 0] == 1
    alone = focal[0].example_loss(None, logits[kinds, :2], rows[kinds, 1].long(), AT)
    value = huber[0].example_loss(None, logits[sizes, 2:], rows[sizes, 1:], AT)
    assert torch.allclose(found[kinds], alone)
    assert torch.allclose(found[sizes], 0.5 * value)
    assert torch.equal(own.row_weights(rows), torch.where(kinds, 1.0, 0.5))


def test_only_losses_of_single_rows_are_a_tasks_own():
    given = {"positive_weights": "balanced", "class_weights": "balanced", "quantile": 0.5, "balanced_softmax": True}
    for name in RowLosses.model_fields:
        assert name in Strategy.model_fields
        [method] = methods_of(**{name: given.get(name, {})})
        hooks = (
            "modules",
            "batch",
            "epoch",
            "losses",
            "statistic",
            "weights",
            "gradients",
            "updated",
            "state",
            "order",
        )
        assert not [hook for hook in hooks if defines(method, hook)], name
        assert method.needs <= {"counts", "labels", "unmixed"}, name


def test_the_loss_of_a_row_is_that_of_its_own_task():
    problem = problem_of(labels_of(SEVERAL))
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([[0, 1.0], [1, 2.5], [0, 0.0], [1, -1.0]])
    found = problem.loss(logits, rows)
    assert torch.allclose(found[::2], PROBLEMS[SINGLE].loss(logits[::2, :2], torch.tensor([1, 0])))
    assert torch.allclose(found[1::2], PROBLEMS[REGRESSION].loss(logits[1::2, 2:], torch.tensor([[2.5], [-1.0]])))
    assert problem.names == ("kind", "size")
    assert torch.allclose(problem.divergence(logits, logits), torch.zeros(4))
    assert torch.allclose(problem.probabilities(logits)[:, :2].sum(1), torch.ones(4))
