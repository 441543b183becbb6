"""MMD, CORAL, BSP and AFN are their papers' equations."""

import numpy as np
import pytest
import torch

from hfft.strategy import afn, bsp, coral, mk_mmd


@pytest.fixture
def source():
    return torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target():
    return torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 + 1


def mmd_by_hand(source, target, widths):
    """Pair by pair."""
    rows = np.concatenate([source, target])
    scale = np.mean([np.square(a - b).sum() for a in rows for b in rows])

    def k(a, b):
        return sum(np.exp(-np.square(a - b).sum() / (2 * width * scale)) for width in widths)

    n, m = len(source), len(target)
    same = sum(k(source[i], source[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(k(target[i], target[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return same + other - 2 * np.mean([k(a, b) for a in source for b in target])


@pytest.mark.parametrize("widths", [(1.0,), (0.125, 0.25, 0.5, 1.0, 2.0)])
def test_mmd_is_the_unbiased_estimate_under_all_kernels(source, target, widths):
    assert mk_mmd(source, target, widths).item() == pytest.approx(mmd_by_hand(source.numpy(), target.numpy(), widths))


def test_mmd_is_about_zero_for_one_distribution_and_falls_along_its_gradient(source, target):
    draw = torch.Generator().manual_seed(0)
    one, other = (torch.randn(200, 3, generator=draw) for _ in range(2))
    assert abs(mk_mmd(one, other).item()) < 0.03 < mk_mmd(one, other + 1).item()
    moved = target.clone().requires_grad_()
    mk_mmd(source, moved).backward()
    assert mk_mmd(source, target - 0.1 * moved.grad) < mk_mmd(source, target)


@pytest.mark.parametrize("pair", [(1, 5), (5, 1), (0, 5), (1, 1)])
@pytest.mark.parametrize("distance", [mk_mmd, coral])
def test_a_single_row_has_no_distance_but_a_gradient(distance, pair):
    source, target = (torch.randn(n, 3, requires_grad=True) for n in pair)
    value = distance(source, target)
    value.backward()
    assert value.item() == 0
    assert not source.grad.any()
    assert not target.grad.any()


def test_equal_rows_have_finite_kernels():
    rows = torch.ones(4, 3, requires_grad=True)
    mk_mmd(rows, torch.ones(4, 3)).backward()
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("distance", [mk_mmd, coral])
def test_a_distance_does_not_depend_on_the_order_of_rows(source, target, distance):
    torch.testing.assert_close(distance(source, target), distance(source.flip(0), target.flip(0)))


def test_coral_is_the_papers_formula(source, target):
    left, right = np.cov(source.numpy().T), np.cov(target.numpy().T)
    assert coral(source, target).item() == pytest.approx(np.square(left - right).sum() / (4 * 3**2))
    one = coral(source[:, :1], target[:, :1]).item()
    assert one == pytest.approx((np.var(source[:, 0].numpy(), ddof=1) - np.var(target[:, 0].numpy(), ddof=1)) ** 2 / 4)


def test_bsp_is_the_largest_singular_values(source):
    values = np.linalg.svd(source.numpy(), compute_uv=False)
    assert bsp(source).item() == pytest.approx(values[0] ** 2)
    assert bsp(source, 2).item() == pytest.approx(values[0] ** 2 + values[1] ** 2)


def test_afn_asks_for_norms_that_are_larger_by_delta(source):
    moved = source.clone().requires_grad_()
    loss = afn(moved, 0.5)
    assert loss.tolist() == pytest.approx([0.25] * 7)
    loss.sum().backward()
    direction = source / source.norm(dim=1, keepdim=True)
    torch.testing.assert_close(moved.grad, -2 * 0.5 * direction)
