"""Balanced softmax is its paper's equation, and so logit adjustment with a tau of 1."""

import numpy as np
import pytest
import torch

from hfft.errors import DataError
from hfft.strategy.loss.balanced_softmax import balanced_logits
from tests.strategy.noisy import LABELS, LOGITS, loss_of, started

COUNTS = (40, 9, 1)


def test_it_is_the_equation():
    n = np.array(COUNTS)
    expected = n * np.exp(LOGITS) / (n * np.exp(LOGITS)).sum(1, keepdims=True)
    found = balanced_logits(torch.tensor(LOGITS), torch.tensor(COUNTS)).softmax(1)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    loss = loss_of(started({"balanced_softmax": True}, COUNTS))
    np.testing.assert_allclose(loss, -np.log(expected[np.arange(5), LABELS]), rtol=1e-10)


def test_it_is_logit_adjustment_with_a_tau_of_1():
    left, right = (loss_of(started(s, COUNTS)) for s in ({"balanced_softmax": True}, {"logit_adjustment": 1.0}))
    torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-7)
    other = loss_of(started({"logit_adjustment": 0.5}, COUNTS))
    assert not torch.allclose(left, other, rtol=1e-3)


def test_a_class_without_rows_is_refused_by_name():
    with pytest.raises(DataError, match=r"strategy\.balanced_softmax: b has no rows, .*; add rows of it"):
        started({"balanced_softmax": True}, (3, 0, 2))
