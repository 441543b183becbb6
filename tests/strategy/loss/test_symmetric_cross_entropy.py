"""Symmetric cross-entropy is its paper's equation: both cross-entropies, with log 0 as -4 in the reverse one."""

import numpy as np
import pytest
import torch

from hfft.strategy.loss.symmetric_cross_entropy import symmetric_cross_entropy
from tests.strategy.noisy import LABELS, LOGITS, softmax, total
from tests.training import methods_of


def by_hand(alpha, beta, labels=LABELS):
    p, y = softmax(LOGITS), np.eye(3)[labels]
    log_y = np.where(y == 1, 0.0, -4.0)
    return alpha * -(y * np.log(p)).sum(1) + beta * -(p * log_y).sum(1)


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 1.0), (6.0, 0.1), (0.0, 2.0)])
def test_it_is_the_equation(alpha, beta):
    found = symmetric_cross_entropy(torch.tensor(LOGITS), torch.tensor(LABELS), alpha, beta)
    np.testing.assert_allclose(found, by_hand(alpha, beta), rtol=1e-10)


def test_classes_that_are_asked_about_are_answered_one_by_one():
    logits = torch.tensor(LOGITS)
    every = symmetric_cross_entropy(logits, torch.arange(3).expand(5, -1))
    for c in range(3):
        torch.testing.assert_close(every[:, c], symmetric_cross_entropy(logits, torch.full((5,), c)))


def test_of_mixed_rows_each_label_counts_by_its_share():
    others, share = (LABELS + 1) % 3, np.array([0.9, 0.5, 0.2, 1.0, 0.0])
    expected = share * by_hand(0.1, 1.0) + (1 - share) * by_hand(0.1, 1.0, others)
    assert total({"symmetric_cross_entropy": {}}, share, others) == pytest.approx(expected.sum(), rel=1e-10)


def test_factors_that_teach_nothing_are_refused():
    with pytest.raises(ValueError, match="alpha and beta are both 0, so that nothing would be learned; set one"):
        methods_of(symmetric_cross_entropy={"alpha": 0, "beta": 0})
