"""BSS and R-Drop are their papers' equations."""

import pytest
import torch

from hfft.strategy.regularise.bss import bss
from hfft.strategy.regularise.r_drop import r_drop
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI, REGRESSION, SINGLE


@pytest.mark.parametrize("smallest", [1, 3])
def test_bss_is_the_sum_of_the_smallest_squared_singular_values(smallest):
    features = torch.randn(9, 5, dtype=torch.float64)
    values = torch.linalg.eigvalsh(features.T @ features)  # the squares, the smallest first
    torch.testing.assert_close(bss(features, smallest), values[:smallest].sum())


def test_bss_knows_no_order_of_rows():
    features = torch.randn(9, 5, dtype=torch.float64)
    torch.testing.assert_close(bss(features), bss(features[torch.randperm(9)]))


def test_r_drop_is_the_mean_of_both_divergences():
    left, right = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    p, q = left.softmax(1), right.softmax(1)
    expected = ((p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)) / 2
    torch.testing.assert_close(r_drop(PROBLEMS[SINGLE], left, right), expected)


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_r_drop_is_symmetric_and_zero_where_both_agree(problem):
    left, right = torch.randn(6, 4), torch.randn(6, 4)
    torch.testing.assert_close(r_drop(PROBLEMS[problem], left, right), r_drop(PROBLEMS[problem], right, left))
    assert r_drop(PROBLEMS[problem], left, left).abs().max() < 1e-6
