"""Errors of calibration against their definitions in plain loops, and scaling against the conditions of its minimum."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from hfft.errors import BadInput
from hfft.evaluate import calibration, scaling
from hfft.evaluate.metrics.calibration_error import CalibrationError

N = 437


@pytest.fixture(scope="module", params=[2, 5])
def rows(request):
    """Probabilities `(N, C)` and classes; some probabilities are 0, 1 or at the edge of a bin."""
    rng, c = np.random.default_rng(request.param), request.param
    p = softmax(3 * rng.normal(size=(N, c)), axis=1)
    p[:3] = np.eye(c)[[0, 1, 0]]
    p[3] = [0.6, 0.4, *[0.0] * (c - 2)]
    return p, rng.integers(0, c, N)


def one_bin(confidence, right):
    return abs(sum(right) / len(right) - sum(confidence) / len(confidence)) if len(right) else 0


def by_loops(confidence, right):
    """ECE with 15 bins (b/15, (b+1)/15], row by row."""
    total = 0
    for b in range(15):
        inside = [i for i, c in enumerate(confidence) if b / 15 < c <= (b + 1) / 15 or (b == 0 and c == 0)]
        total += len(inside) / len(confidence) * one_bin([confidence[i] for i in inside], [right[i] for i in inside])
    return total


def sorted_bins(confidence, right, bins):
    order = sorted(range(len(confidence)), key=lambda i: confidence[i])
    for part in bins(order):
        yield len(part), one_bin([confidence[i] for i in part], [right[i] for i in part])


def hundreds(order):
    """Bins of 100 rows, the last one with the remainder (Hendrycks' code, but with that one)."""
    edges = [*range(0, len(order) - 199, 100), max(len(order) // 100 * 100 - 100, 0)]
    edges = sorted(set(edges))
    return [order[a:b] for a, b in zip(edges, [*edges[1:], len(order)], strict=True)]


def expected(p, y):
    n = len(p)
    confidence, right = p.max(1).tolist(), (p.argmax(1) == y).tolist()
    parts = list(sorted_bins(confidence, right, lambda order: np.array_split(order, 15)))
    adaptive = list(sorted_bins(confidence, right, hundreds))
    return {
        "ece": by_loops(confidence, right),
        "ece_equal_mass": sum(size / n * gap for size, gap in parts),
        "rms": math.sqrt(sum(size / n * gap**2 for size, gap in adaptive)),
        "classwise_ece": sum(by_loops(p[:, k].tolist(), (y == k).tolist()) for k in range(p.shape[1])) / p.shape[1],
    }


def test_errors_are_their_definitions(rows):
    p, y = rows
    found = calibration.errors(p, y)(np.ones((1, N)))
    assert found.keys() == expected(p, y).keys()
    for name, value in expected(p, y).items():
        assert found[name][0] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("classes", [2, 6, 10])
def test_the_error_of_equal_widths_is_that_of_torchmetrics(classes):
    rng = np.random.default_rng(classes)
    p, y = softmax(2 * rng.normal(size=(2000, classes)), axis=1), rng.integers(0, classes, 2000)
    theirs = multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(y), classes, n_bins=15, norm="l1")
    assert calibration.errors(p, y)(np.ones((1, 2000)))["ece"][0] == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.parametrize("n", [1, 7, 99, 100, 199, 200, 437])
def test_errors_of_few_rows_are_their_definitions(rows, n):
    p, y = rows[0][-n:], rows[1][-n:]
    found = calibration.errors(p, y)(np.ones((1, n)))
    for name, value in expected(p, y).items():
        assert found[name][0] == pytest.approx(value, abs=1e-9), name


def test_a_row_with_weight_two_counts_as_two_rows(rows):
    p, y = rows
    weights = np.random.default_rng(0).integers(0, 3, (4, N)).astype(float)
    found = calibration.errors(p, y)(weights)
    for i, row in enumerate(weights):
        repeated = np.repeat(np.arange(N), row.astype(int))
        for name, value in expected(p[repeated], y[repeated]).items():
            assert found[name][i] == pytest.approx(value, abs=1e-9), name


def test_the_error_is_that_of_the_metric(rows):
    p, y = rows
    given = {"predictions": p.argmax(1), "confidences": p.max(1), "references": y}
    metric = CalibrationError()._compute(**given)["ece"]
    assert calibration.errors(p, y)(np.ones((1, N)))["ece"][0] == pytest.approx(metric, abs=1e-9)


def test_each_label_of_a_row_is_a_decision_of_its_own():
    rng = np.random.default_rng(0)
    p = rng.random((40, 3))
    y = (rng.random((40, 3)) < p).astype(float)
    said, right = np.maximum(p, 1 - p).ravel(), ((p > 0.5) == (y > 0.5)).ravel()
    found = calibration.errors(p, y)(np.ones((1, 40)))
    assert found["ece"][0] == pytest.approx(by_loops(said.tolist(), right.tolist()), abs=1e-9)
    assert found["classwise_ece"][0] == pytest.approx(
        np.mean([by_loops(p[:, k].tolist(), (y[:, k] > 0.5).tolist()) for k in range(3)]), abs=1e-9
    )
    weights = rng.integers(0, 3, (1, 40)).astype(float)
    repeated = np.repeat(np.arange(40), weights[0].astype(int))
    again = calibration.errors(p[repeated], y[repeated])(np.ones((1, len(repeated))))
    for name, value in calibration.errors(p, y)(weights).items():
        assert value[0] == pytest.approx(again[name][0], abs=1e-9), name


def test_bins_of_the_diagram_add_up(rows):
    p, y = rows
    bins = calibration.reliability(calibration.Decisions.of(p, y))
    assert sum(found["n"] for found in bins) == N
    total = sum(found["n"] / N * abs(found["accuracy"] - found["confidence"]) for found in bins)
    assert total == pytest.approx(expected(p, y)["ece"], abs=1e-9)
    assert all(found["low"] < found["confidence"] <= found["high"] + 1e-12 for found in bins)


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_a_calibrated_model_has_the_errors_that_are_drawn_for_one(several):
    rng = np.random.default_rng(0)
    p = rng.random((300, 3)) if several else softmax(rng.normal(size=(300, 3)), axis=1)
    drawn = calibration.if_calibrated(p, several, seed=1, rounds=300)
    for name, values in drawn.items():
        own = []
        for _ in range(300):
            classes = (rng.random((300, 1)) > p.cumsum(1)).sum(1).clip(0, 2)
            y = (rng.random(p.shape) < p).astype(float) if several else classes
            own.append(calibration.errors(p, y)(np.ones((1, 300)))[name][0])
        assert np.mean(values) == pytest.approx(np.mean(own), rel=0.05), name
        assert np.percentile(values, 95) == pytest.approx(np.percentile(own, 95), rel=0.1), name


# --- scaling


def overconfident(seed=0, n=600, c=4, factor=2.5):
    """Logits whose softmax at the temperature `factor` is calibrated."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, c))
    y = (rng.random((n, 1)) > softmax(z, axis=1).cumsum(1)).sum(1).clip(0, c - 1)
    return factor * z, y


def test_the_temperature_is_the_minimum_of_the_likelihood():
    z, y = overconfident()
    found = scaling.fit("temperature", z, y)

    def nll(t):
        return -log_softmax(z / t, axis=1)[np.arange(len(y)), y].mean()

    wanted = minimize_scalar(nll, bounds=(0.05, 10), method="bounded", options={"xatol": 1e-10}).x
    assert found.temperature == pytest.approx(wanted, abs=1e-6)
    assert found.temperature == pytest.approx(2.5, rel=0.1)
    assert not found.at_limit
    assert (found.apply(z).argmax(1) == z.argmax(1)).all()
    np.testing.assert_allclose(found.undo(found.apply(z)), z, atol=1e-9)


def test_a_vector_is_where_the_slope_of_the_likelihood_is_zero():
    z, y = overconfident()
    z = z * [1, 2, 0.5, 1] + [1.0, 0.0, -1.0, 0.5]
    found = scaling.fit("vector", z, y)
    slope = softmax(found.apply(z), axis=1) - np.eye(4)[y]
    assert np.abs(slope.mean(0)).max() < 1e-5
    assert np.abs((slope * z).mean(0)).max() < 1e-5
    by_one = scaling.fit("temperature", z, y)
    better = [scaling.row_losses(way.apply(z), y).mean() for way in (found, by_one)]
    assert better[0] < better[1] < scaling.row_losses(z, y).mean()


@pytest.mark.parametrize("way", ["temperature", "vector"])
def test_labels_have_a_scaling_as_well(way):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 3))
    y = (rng.random((500, 3)) < expit(z)).astype(float)
    found = scaling.fit(way, 3 * z, y)
    assert 1 / found.scale == pytest.approx(np.full(3, 3.0), rel=0.25)
    slope = expit(found.apply(3 * z)) - y
    assert np.abs((slope * z).mean(0)).max() < 1e-5 if way == "vector" else abs((slope * z).mean()) < 1e-5


def test_the_loss_of_a_row_is_its_cross_entropy():
    z, y = overconfident()
    np.testing.assert_allclose(scaling.row_losses(z, y), -log_softmax(z, axis=1)[np.arange(len(y)), y])
    labels = (z > 1).astype(float)
    p = expit(z)
    wanted = -(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean(1)
    np.testing.assert_allclose(scaling.row_losses(z, labels), wanted, rtol=1e-6)


def test_rows_without_a_mistake_take_the_lowest_temperature():
    y = np.arange(60) % 3
    found = scaling.fit("temperature", np.eye(3)[y], y)
    assert found.temperature == pytest.approx(0.05)
    assert found.at_limit


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(BadInput, match=r"no validation rows to fit on; set data\.validation"):
        scaling.fit("temperature", np.empty((0, 3)), np.empty(0, int))
    with pytest.raises(BadInput, match="and c has only one kind; use temperature"):
        scaling.fit("vector", np.zeros((4, 3)), np.array([0, 1, 0, 1]), ("a", "b", "c"))
