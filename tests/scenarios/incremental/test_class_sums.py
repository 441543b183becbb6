"""NCM and LDA from class sums are those fitted on all rows at once; alignment fits a head on Gaussians."""

import numpy as np
import pytest
import torch

from hfft.classifier import ClassifierSpec, fit
from hfft.scenarios.incremental.align import align, gaussian, normed
from hfft.scenarios.incremental.frozen import ClassSums

NAMES = ("a", "b", "c")


@pytest.fixture
def rows():
    """Features of three classes of unequal size, and their classes."""
    draws = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [30, 12, 20])
    return (draws.normal(size=(62, 5)) + draws.normal(size=(3, 5))[y]).astype(np.float32), y


def sums_of(x, y, pieces=1):
    """Class by class, each in so many pieces."""
    found = ClassSums()
    for k, name in enumerate(NAMES):
        for part in np.array_split(x[y == k], pieces):
            found.add(name, part)
    return found


def test_pieces_in_any_number_give_the_same(rows):
    whole, parts = sums_of(*rows), sums_of(*rows, pieces=4)
    np.testing.assert_allclose(whole.covariance, parts.covariance, rtol=1e-9)
    np.testing.assert_allclose(whole.means, parts.means, rtol=1e-9)


def test_ncm_is_the_nearest_class_mean(rows):
    x, y = rows
    logits = sums_of(x, y).ncm(x.astype(float))
    means = np.stack([x[y == k].mean(0) for k in range(3)])
    np.testing.assert_allclose(logits, -np.square(x[:, None] - means).sum(2), rtol=1e-4, atol=1e-4)


def test_lda_is_that_of_all_rows_at_once(rows):
    x, y = rows
    fitted = fit(ClassifierSpec(type="lda", shrinkage=0.1), x, y, names=NAMES)
    found, expected = sums_of(x, y).lda(x.astype(float)), fitted.logits(x)
    apart = [logits - logits.mean(1, keepdims=True) for logits in (found, expected)]
    np.testing.assert_allclose(*apart, rtol=1e-3, atol=1e-3)


def test_a_gaussian_is_mean_and_covariance_also_of_one_row(rows):
    x, _ = rows
    mean, covariance = gaussian(x)
    np.testing.assert_allclose(mean, x.astype(float).mean(0), rtol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(x.astype(float).T), rtol=1e-3, atol=1e-3)
    torch.linalg.cholesky(gaussian(x[:1])[1])


def test_alignment_undoes_the_bias_towards_the_last_classes():
    draws = torch.Generator().manual_seed(0)
    means = torch.eye(4, 6, dtype=torch.float64) * 4
    covariances = torch.eye(6, dtype=torch.float64).repeat(4, 1, 1) * 0.3
    weight = means.float().clone()
    weight[2:] *= 3  # the head has just learned the last two classes
    bias = torch.tensor([0.0, 0.0, 7.0, 7.0])

    def accuracy(weight, bias):
        y = torch.arange(4).repeat_interleave(100)
        x = (means[y] + torch.randn(400, 6, generator=draws, dtype=torch.float64) * 0.3**0.5).float()
        return (torch.nn.functional.linear(x, weight, bias).argmax(1) == y).float().mean().item()

    before = accuracy(weight, bias)
    after = align(weight, bias, means, covariances, 0)
    assert before < 0.95
    assert accuracy(*after) > 0.97
    again = align(weight, bias, means, covariances, 0)
    assert torch.equal(after[0], again[0])
    assert normed(torch.tensor([[3.0, 4.0]])).norm().item() == pytest.approx(10)
    assert align(weight, None, means, covariances, 0)[1] is None
