"""FreeMatch's thresholds and its fairness are those of its paper."""

import pytest
import torch

from hfft.strategy.semi_supervised.freematch import adaptive_thresholds, fairness


def test_the_class_that_is_found_most_has_the_mean_certainty_as_its_threshold():
    found = adaptive_thresholds(torch.tensor([0.8]), torch.tensor([0.5, 0.25, 0.25]))
    assert found.tolist() == pytest.approx([0.8, 0.4, 0.4])


def by_hand(strong, counts, p, histogram):
    """Equation 11, class by class; a class that no view is predicted to be of has a share of 0, as in the authors' code."""
    rows = [row.softmax(0) for row, count in zip(strong, counts, strict=True) if count]
    classes = [int(row.argmax()) for row in rows]
    share = [classes.count(c) / len(rows) for c in range(len(p))]
    mean = torch.stack(rows).mean(0)
    wanted = p / histogram
    found = torch.stack([m / s if s else m * 0 for m, s in zip(mean, share, strict=True)])
    return (wanted / wanted.sum() * torch.log(found / found.sum() + 1e-12)).sum()


@pytest.mark.parametrize("seed", range(3))
def test_fairness_is_the_equation(seed):
    torch.manual_seed(seed)
    strong, counts = 3 * torch.randn(40, 3, dtype=torch.float64), torch.rand(40) > 0.4
    p, histogram = torch.rand(3).double().softmax(0), torch.rand(3).double().softmax(0)
    torch.testing.assert_close(fairness(strong, counts, p, histogram), by_hand(strong, counts.tolist(), p, histogram))


def test_fairness_evens_predictions_out_and_is_nothing_without_a_sure_row():
    p = torch.full((2,), 0.5)
    strong = torch.tensor([[3.0, 0.0], [2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    assert fairness(strong, torch.zeros(3, dtype=torch.bool), p, p) == 0
    before = fairness(strong, torch.ones(3, dtype=torch.bool), p, p)
    before.backward()
    with torch.no_grad():
        after = fairness(strong - 0.1 * strong.grad, torch.ones(3, dtype=torch.bool), p, p)
    assert after < before < 0
