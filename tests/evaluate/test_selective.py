"""Risk over coverage against its definition row by row, and the coverage of sets and thresholds by simulation."""

import math

import numpy as np
import pytest
from scipy.special import softmax

from hfft.evaluate import selective

N = 203


@pytest.fixture(scope="module")
def rows():
    """Confidences without equals, and which rows are wrong."""
    rng = np.random.default_rng(0)
    confidence = rng.permutation(np.linspace(0.3, 0.99, N))
    return confidence, (rng.random(N) > confidence).astype(float)


def risks(confidence, wrong):
    """The share of wrong rows among the k most confident, k = 1…N."""
    order = sorted(range(len(confidence)), key=lambda i: -confidence[i])
    return [sum(wrong[i] for i in order[:k]) / k for k in range(1, len(order) + 1)]


def test_areas_and_accuracies_are_their_definitions(rows):
    confidence, wrong = rows
    once, found = np.ones((1, N)), risks(confidence, wrong)
    assert selective.aurc(once, confidence, wrong)[0] == pytest.approx(np.mean(found), abs=1e-12)
    assert selective.accuracy_at(once, confidence, wrong)[0] == pytest.approx(
        1 - found[math.ceil(0.8 * N) - 1], abs=1e-12
    )
    assert selective.accuracy_at(once, confidence, wrong, 1.0)[0] == pytest.approx(1 - wrong.mean(), abs=1e-12)


def test_equal_confidences_are_accepted_in_random_order():
    rng = np.random.default_rng(0)
    confidence, wrong = rng.integers(0, 4, 30) / 4, rng.integers(0, 2, 30).astype(float)
    drawn = []
    for _ in range(4000):
        mixed = rng.permutation(30)
        drawn.append(risks(confidence[mixed], wrong[mixed]))
    mean = np.mean(drawn, 0)
    once = np.ones((1, 30))
    assert selective.aurc(once, confidence, wrong)[0] == pytest.approx(mean.mean(), abs=2e-3)
    assert selective.accuracy_at(once, confidence, wrong)[0] == pytest.approx(1 - mean[23], abs=2e-3)


def test_a_row_with_weight_two_counts_as_two_rows(rows):
    confidence, wrong = rows
    weights = np.random.default_rng(0).integers(0, 3, (4, N)).astype(float)
    for i, row in enumerate(weights):
        repeated = np.repeat(np.arange(N), row.astype(int))
        once = np.ones((1, len(repeated)))
        for figure in (selective.aurc, selective.accuracy_at):
            wanted = figure(once, confidence[repeated], wrong[repeated])[0]
            assert figure(weights, confidence, wrong)[i] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("n", [1, 5, 100, N])
def test_the_curve_has_few_points_and_ends_at_the_error(rows, n):
    confidence, wrong = rows[0][:n], rows[1][:n]
    found = selective.curve(confidence, wrong)
    assert len(found) == min(n, 100)
    assert found[-1] == [1.0, pytest.approx(wrong.mean())]
    wanted = risks(confidence, wrong)
    for coverage, risk in found:
        assert risk == pytest.approx(wanted[round(coverage * n) - 1])


def test_sets_hold_the_true_class_as_often_as_promised():
    rng, n, target = np.random.default_rng(0), 99, 0.9
    held = []
    for _ in range(400):
        logits = 2 * rng.normal(size=(n + 200, 5))
        p = softmax(logits, axis=1)
        y = (
            (rng.random((len(p), 1)) > softmax(logits / 3, axis=1).cumsum(1)).sum(1).clip(0, 4)
        )  # an overconfident model
        threshold = selective.conformal_threshold(p[:n], y[:n], target)
        sets = selective.conformal_sets(p[n:], threshold)
        held.append(sets[np.arange(200), y[n:]].mean())
    error = 4 * np.std(held) / math.sqrt(len(held))
    assert target - error < np.mean(held) < target + 1 / (n + 1) + error  # Vovk's bounds


def test_the_threshold_of_sets_is_an_order_statistic():
    p = np.linspace(0.01, 0.99, 99)
    both = np.stack([p, 1 - p], 1)
    assert selective.conformal_threshold(both, np.zeros(99, int), 0.9) == pytest.approx(0.1)  # the 90th largest p
    assert selective.conformal_sets(both, 0.1)[:, 0].sum() == 90
    assert selective.fewest_rows(0.9) == 9
    assert selective.conformal_threshold(both[:8], np.zeros(8, int), 0.9) == 0, "too few rows: every class belongs"
    assert selective.conformal_threshold(both[:9], np.zeros(9, int), 0.9) == pytest.approx(0.01)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_new_rows_are_rejected_as_rarely_as_asked(rate):
    rng, n = np.random.default_rng(0), 199
    found = []
    for _ in range(500):
        threshold = selective.rejection_threshold(rng.beta(5, 1, n), rate)
        found.append((rng.beta(5, 1, 300) < threshold).mean())
    error = 4 * np.std(found) / math.sqrt(len(found))
    assert rate - 1 / (n + 1) - error < np.mean(found) < rate + error


def test_too_few_rows_tell_no_threshold():
    assert selective.rejection_threshold(np.ones(18), 0.05) is None
    assert selective.rejection_threshold(np.arange(19.0), 0.05) == 0.0
    assert selective.rejection_threshold(np.empty(0), 0.5) is None
