"""Methods that learn from several domains are the equations of their papers."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfft.strategy.method import At, Batch, Target
from hfft.strategy.sample.balanced import in_turn
from hfft.strategy.shift.domain_coral import mean_distance, moment_distance
from hfft.strategy.shift.group_dro import moved
from hfft.strategy.shift.vrex import vrex
from hfft.tasks.problem import PROBLEMS
from tests.training import methods_of


def test_the_weights_of_domains_follow_their_losses():
    q, losses = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([1.0, 2.0, 0.0])
    expected = q * torch.exp(0.7 * losses)
    torch.testing.assert_close(moved(q, losses, 0.7), expected / expected.sum())
    assert moved(q, torch.ones(3), 0.7).tolist() == pytest.approx(q.tolist())


def started(counts, **more):
    [method] = methods_of(group_dro=1.0)
    ids = np.repeat(np.arange(len(counts)), counts)
    problem = PROBLEMS["single_label_classification"]
    method.start(SimpleNamespace(domain_ids=ids, problem=problem, device=torch.device("cpu"), methods=(), **more))
    return method


def test_the_loss_of_an_epoch_is_that_of_the_domains_by_their_weights():
    method = started([6, 2])
    method.q = torch.tensor([0.1, 0.9], dtype=torch.float64)
    losses = torch.tensor([1.0] * 6 + [5.0] * 2, dtype=torch.float64)
    labels = torch.zeros(8, dtype=torch.long)
    batch = Batch({}, ["task"], labels, [Target(labels)], np.arange(8), 8, At(0, 0, 0.0, 0))
    method.batch(batch)
    [target] = batch.targets
    assert float((target.factor * losses).mean()) == pytest.approx(0.1 * 1.0 + 0.9 * 5.0)


def test_equal_domains_count_as_without():
    method = started([6, 2])
    method.q = torch.tensor([0.75, 0.25], dtype=torch.float64)
    labels = torch.zeros(3, dtype=torch.long)
    batch = Batch({}, ["task"], labels, [Target(labels)], np.array([0, 5, 7]), 3, At(0, 0, 0.0, 0))
    method.batch(batch)
    assert batch.targets[0].factor.tolist() == [1, 1, 1]


def test_vrex_is_the_variance():
    risks = torch.tensor([1.0, 2.0, 6.0])
    assert vrex(risks).item() == pytest.approx(np.var([1, 2, 6]))
    assert vrex(risks[:1]).item() == 0


def test_coral_compares_means_and_covariances_of_all_pairs():
    torch.manual_seed(0)
    groups = [scale * torch.randn(n, 4, dtype=torch.float64) + scale for n, scale in ((9, 1), (7, 2), (5, 3))]
    expected = []
    for x, y in combinations([group.numpy() for group in groups], 2):
        means, covariances = x.mean(0) - y.mean(0), np.cov(x.T) - np.cov(y.T)
        expected.append((means**2).mean() + (covariances**2).mean())
    assert mean_distance(groups).item() == pytest.approx(np.mean(expected))
    assert mean_distance(groups[:1]).item() == 0


def test_a_domain_with_a_single_row_has_a_mean_only():
    x, y = torch.randn(5, 3), torch.randn(1, 3)
    assert moment_distance(x, y).item() == pytest.approx(float((x.mean(0) - y[0]).square().mean()))


def test_every_few_rows_are_of_all_domains():
    ids = np.array([0] * 10 + [1] * 3 + [2] * 4)
    order = in_turn(ids, np.random.default_rng(0))
    assert len(order) == 17
    assert all(sorted(ids[order[i : i + 3]]) == [0, 1, 2] for i in range(0, 15, 3))
    assert set(order[ids[order] == 1]) == {10, 11, 12}  # a small one is used in turn
    assert len(set(order[ids[order] == 0])) == (ids[order] == 0).sum()
