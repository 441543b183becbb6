"""LDAM is its paper's equation, and its deferred weights are those of the effective number."""

import numpy as np
import pytest
import torch

from hfft.errors import DataError
from hfft.strategy.loss.ldam import ldam, margins
from hfft.strategy.method import At
from tests.strategy.noisy import LABELS, LOGITS, loss_of, started, total

COUNTS = (10000, 100, 1)


def by_hand(margin, labels=LABELS, counts=COUNTS):
    delta = margin * np.array(counts) ** -0.25 / np.array(counts).min() ** -0.25
    losses = []
    for z, y in zip(LOGITS, labels, strict=True):
        own = np.exp(z[y] - delta[y])
        losses.append(-np.log(own / (own + sum(np.exp(z[j]) for j in range(3) if j != y))))
    return np.array(losses)


def test_margins_fall_with_the_fourth_root():
    np.testing.assert_allclose(margins(torch.tensor(COUNTS)), [0.1, 10**-0.5, 1.0], rtol=1e-6)


@pytest.mark.parametrize("margin", [0.5, 15.0])
def test_it_is_the_equation(margin):
    np.testing.assert_allclose(loss_of(started({"ldam": margin}, COUNTS)), by_hand(margin), rtol=1e-6)


def test_classes_that_are_asked_about_are_answered_one_by_one():
    logits, own = torch.tensor(LOGITS), torch.tensor([0.1, 0.7, 1.0], dtype=torch.float64)
    every = ldam(logits, torch.arange(3).expand(5, -1), own)
    for c in range(3):
        torch.testing.assert_close(every[:, c], ldam(logits, torch.full((5,), c), own))


def test_of_mixed_rows_each_label_counts_by_its_share_with_its_own_margin():
    others, share = (LABELS + 1) % 3, np.array([0.9, 0.5, 0.2, 1.0, 0.0])
    expected = share * by_hand(0.5) + (1 - share) * by_hand(0.5, others)
    assert total({"ldam": 0.5}, share, others, counts=COUNTS) == pytest.approx(expected.sum(), rel=1e-6)


def at_epoch(epoch, after):
    method = started({"ldam": {"margin": 0.5, "after": after, "beta": 0.99}}, COUNTS)
    method.epoch(None, None, At(10 * epoch, epoch, 0.5, 0))
    return method


def test_rows_are_weighted_after_so_many_epochs_and_not_before():
    n = np.array(COUNTS)
    weights = (1 - 0.99) / (1 - 0.99**n)
    weights = weights * n.sum() / (n * weights).sum()
    plain = by_hand(0.5)
    np.testing.assert_allclose(loss_of(at_epoch(1, 2)), plain, rtol=1e-6)
    np.testing.assert_allclose(loss_of(at_epoch(2, 2)), plain * weights[LABELS], rtol=1e-6)
    np.testing.assert_allclose(at_epoch(2, 2).row_weights(torch.tensor(LABELS)), weights[LABELS], rtol=1e-6)
    np.testing.assert_allclose(loss_of(at_epoch(9, None)), plain, rtol=1e-6)


def test_a_run_that_goes_on_within_an_epoch_has_its_weights():
    again = started({"ldam": {"margin": 0.5, "after": 2, "beta": 0.99}}, COUNTS)
    again.load(at_epoch(2, 2).state())
    torch.testing.assert_close(loss_of(again), loss_of(at_epoch(2, 2)))


def test_a_class_without_rows_is_refused_by_name():
    with pytest.raises(DataError, match=r"strategy\.ldam: c has no rows, .*; add rows of it"):
        started({"ldam": 0.5}, (3, 1, 0))
