"""LogME against the evidence as the paper defines it, maximised by SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize

from hfft.evaluate.logme import logme


def log_evidence(features, target, alpha, beta):
    """Equation 2 of the paper."""
    rows, width = features.shape
    precision = alpha * np.eye(width) + beta * features.T @ features
    mean = beta * np.linalg.solve(precision, features.T @ target)
    misfit, size = np.sum((features @ mean - target) ** 2), np.sum(mean**2)
    found = width * np.log(alpha) + rows * np.log(beta) - rows * np.log(2 * np.pi)
    return (found - beta * misfit - alpha * size - np.linalg.slogdet(precision)[1]) / 2


def by_the_paper(features, targets):
    """The mean over the targets of the maximum evidence per row."""
    found = []
    for target in targets.T:
        answers = [
            minimize(
                lambda at, target=target: -log_evidence(features, target, *np.exp(at)),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000},
            ).fun
            for start in ([0.0, 0.0], [3.0, -1.0])
        ]
        found.append(-min(answers) / len(features))
    return float(np.mean(found))


def case(rows, width, classes=3, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return rng.normal(size=(rows, width)) + apart * rng.normal(size=(classes, width))[labels], labels


@pytest.mark.parametrize(("rows", "width"), [(60, 5), (12, 20), (20, 20)])
def test_classes_have_the_evidence_of_the_paper(rows, width):
    features, labels = case(rows, width)
    assert logme(features, labels) == pytest.approx(by_the_paper(features, np.eye(3)[labels]), abs=1e-6)


@pytest.mark.parametrize("columns", [1, 4])
def test_numbers_have_the_evidence_of_the_paper(columns):
    features, _ = case(40, 6)
    rng = np.random.default_rng(1)
    targets = features[:, :1] * np.arange(1, columns + 1) + rng.normal(size=(40, columns)) * 0.3
    assert logme(features, targets) == pytest.approx(by_the_paper(features, targets), abs=1e-6)
    assert logme(features, targets[:, 0]) == pytest.approx(logme(features, targets[:, :1]))


def test_several_labels_are_averaged():
    features, labels = case(40, 6)
    several = np.stack([labels == 0, labels != 1], 1).astype(np.float64)
    apart = [logme(features, several[:, i]) for i in range(2)]
    assert logme(features, several) == pytest.approx(np.mean(apart))
    assert apart[0] != pytest.approx(apart[1])


def test_directions_without_spread_change_nothing():
    features, labels = case(30, 4)
    wide = np.concatenate([features, np.zeros((30, 3)), features[:, :1]], 1)
    turned = wide @ np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    assert logme(wide, labels) == pytest.approx(logme(turned, labels), abs=1e-7)


def test_features_without_information_come_last_and_to_a_finite_value():
    informed, labels = case(200, 8, apart=2.0)
    noise = np.random.default_rng(3).normal(size=(200, 8))
    targets = np.random.default_rng(4).normal(size=200)
    orthogonal = noise - np.outer(targets, targets @ noise) / (targets @ targets)
    assert logme(informed, labels) > logme(noise, labels)
    # alpha goes to infinity: the evidence is that of noise alone
    alone = -np.log(2 * np.pi * np.mean(targets**2)) / 2 - 0.5
    assert logme(orthogonal, targets) == pytest.approx(alone, abs=1e-6)


def test_targets_that_are_explained_without_a_rest_have_a_finite_evidence():
    features, _ = case(30, 4)
    assert np.isfinite(logme(features, features[:, 0]))
    assert logme(features, features[:, 0]) > logme(features, features[:, 0] + 0.01 * np.arange(30))
