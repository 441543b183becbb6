"""FlexMatch's thresholds are those of its paper."""

import pytest
import torch

from hfft.strategy.semi_supervised.flexmatch import flexible_thresholds


def by_hand(surely, classes):
    """Equations 5, 11 and 12."""
    sigma = [sum(1 for s in surely if s == c) for c in range(classes)]
    unused = len(surely) - sum(sigma)
    beta = [s / max(max(sigma), unused) for s in sigma]
    return [b / (2 - b) for b in beta]


@pytest.mark.parametrize(
    "surely", [[-1] * 5, [0, 0, 1, -1, -1, -1, -1], [0, 0, 0, 1, 1, 2, -1], [2, 2, 2, 2], [0, 1, 2]]
)
def test_it_is_the_equations(surely):
    assert flexible_thresholds(torch.tensor(surely), 3).tolist() == pytest.approx(by_hand(surely, 3))


def test_at_the_start_every_row_counts_and_at_the_end_the_best_class_has_the_full_threshold():
    assert flexible_thresholds(torch.full((9,), -1), 4).tolist() == [0] * 4
    assert flexible_thresholds(torch.tensor([0, 0, 0, 1]), 2)[0] == 1
