"""ACE compares rows of present classes with these alone, and rows of other classes with all."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hfft.errors import BadInput
from hfft.strategy.loss.ace import ace_logits
from tests.training import methods_of

PRESENT = torch.tensor([False, True, True])


def test_the_loss_is_that_of_a_softmax_over_the_compared_classes():
    logits = torch.randn(2, 3, dtype=torch.float64)
    labels = torch.tensor([2, 0])
    found = F.cross_entropy(ace_logits(logits, labels, PRESENT), labels, reduction="none")
    expected = [logits[0, 1:].logsumexp(0) - logits[0, 2], logits[1].logsumexp(0) - logits[1, 0]]
    torch.testing.assert_close(found, torch.stack(expected))


def test_absent_classes_are_not_pushed_by_rows_of_present_ones():
    logits = torch.randn(4, 3, requires_grad=True)
    F.cross_entropy(ace_logits(logits, labels := torch.tensor([1, 2, 1, 2]), PRESENT), labels).backward()
    assert logits.grad[:, 0].abs().max() == 0
    assert logits.grad[:, 1:].abs().min() > 0


class Counts:
    """A setting with one class."""

    class_counts = np.array([0, 0, 7])
    device = torch.device("cpu")


def test_one_class_is_refused():
    [method] = methods_of(ace=True)
    with pytest.raises(BadInput, match="rows of one class, which would be compared with nothing; leave it out"):
        method.start(Counts())
