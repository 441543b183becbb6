"""Each metric against its definition, on random splits of several shapes, fed at once or in pieces."""

from __future__ import annotations

import importlib
import importlib.resources

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn import metrics as sk

from hfft.evaluate.load_metric import HERE, direct_values, feed, load_metric, metrics_in
from hfft.evaluate.metrics.calibration_error import expected_calibration_error
from hfft.tasks.problem import PROBLEMS
from tests.evaluate.cases import MASKED, METRICS, MULTI, PATCHES, REGRESSION, SINGLE, example


def said(logits):
    return logits.argmax(1)


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def calibration(logits, target):
    """By the definition: a loop over the bins."""
    confidence, right, gap = softmax(logits).max(1), said(logits) == target, 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        gap += abs(right[inside].mean() - confidence[inside].mean()) * inside.mean() if inside.any() else 0
    return gap


def matthews(logits, target):
    """Correlation of the two matrices of indicators."""
    a, b = (np.eye(logits.shape[1])[indices] for indices in (said(logits), target))
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return (a * b).sum() / size if size else 0.0


def per_class(function):
    return lambda logits, target: np.mean([function(p, t) for p, t in zip((logits >= 0).T, target.T, strict=True)])


def f1(predicted, target):
    found = 2 * (predicted * target).sum(), predicted.sum() + target.sum()
    return found[0] / found[1] if found[1] else 0.0


def area(logits, target):
    probability = 1 / (1 + np.exp(-logits))
    some = [(t, p) for t, p in zip(target.T, probability.T, strict=True) if t.any()]
    return np.mean([sk.average_precision_score(t, p) for t, p in some]) if some else 0.0


def correlation(ranked):
    def of(logits, target):
        pairs = [(ranked(a), ranked(b)) for a, b in zip(logits.T, target.T, strict=True)]
        return np.mean([0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else np.corrcoef(a, b)[0, 1] for a, b in pairs])

    return of


def explained(logits, target):
    rest, all_of_it = ((logits - target) ** 2).sum(0), ((target - target.mean(0)) ** 2).sum(0)
    return np.mean(1 - rest / all_of_it) if len(target) > 1 else 0.0


def averaged(score, average):
    return lambda logits, target: score(target, said(logits), average=average, zero_division=0)


EXPECTED = {
    SINGLE: {
        "accuracy": lambda logits, target: sk.accuracy_score(target, said(logits)),
        "balanced_accuracy": lambda logits, target: np.mean(
            [(said(logits)[target == c] == c).mean() for c in set(target)]
        ),
        "f1_macro": averaged(sk.f1_score, "macro"),
        "f1_micro": lambda logits, target: sk.accuracy_score(target, said(logits)),  # the same for single labels
        "f1_weighted": averaged(sk.f1_score, "weighted"),
        "precision_macro": averaged(sk.precision_score, "macro"),
        "recall_macro": averaged(sk.recall_score, "macro"),
        "top5_accuracy": lambda logits, target: np.mean(
            [t in np.argsort(-x)[:5] for x, t in zip(logits, target, strict=True)]
        ),
        "ece": calibration,
        "matthews_correlation": matthews,
    },
    MULTI: {
        "f1_micro": lambda logits, target: f1(logits >= 0, target),
        "f1_macro": per_class(f1),
        "subset_accuracy": lambda logits, target: sk.accuracy_score(target, logits >= 0),
        "hamming_accuracy": lambda logits, target: 1 - sk.hamming_loss(target, logits >= 0),
        "average_precision": area,
    },
    REGRESSION: {
        "mse": lambda logits, target: np.mean((logits - target) ** 2),
        "rmse": lambda logits, target: np.mean(np.sqrt(((logits - target) ** 2).mean(0))),
        "mae": lambda logits, target: np.abs(logits - target).mean(),
        "r2": explained,
        "pearson": correlation(lambda column: column),
        "spearman": correlation(rankdata),
    },
    MASKED: {"perplexity": lambda logits, target: np.exp(logits[:, 0].sum() / max(logits[:, 1].sum(), 1))},
    PATCHES: {"reconstruction_loss": lambda logits, target: logits[:, 0].sum() / max(logits[:, 1].sum(), 1)},
}


def test_every_metric_is_tested_has_a_module_and_every_module_a_name():
    assert {problem: set(expected) for problem, expected in EXPECTED.items()} == {p: set(n) for p, n in METRICS.items()}
    used = {measure.module for problem in PROBLEMS.values() for measure in problem.metrics.values()}
    folder = importlib.resources.files(HERE)
    assert {file.name for file in folder.iterdir() if file.name.endswith(".py")} == {
        *(f"{name}.py" for name in used),
        "__init__.py",
        "info.py",
    }
    assert all(len(metrics_in(importlib.import_module(f"{HERE}.{name}"))) == 1 for name in used)
    for problem in PROBLEMS.values():
        assert set(problem.default_metrics) <= set(problem.metrics)


@pytest.mark.parametrize(("rows", "size"), [(1, 2), (5, 3), (64, 40), (203, 7)])
@pytest.mark.parametrize(("problem", "name"), [(p, name) for p, names in METRICS.items() for name in names])
def test_a_metric_is_what_its_definition_says_fed_at_once_or_in_pieces(problem, name, rows, size):
    logits, target, _ = example(problem, rows, size)
    expected = EXPECTED[problem][name](logits.double().numpy(), target.numpy())
    columns = {key: value.numpy() for key, value in PROBLEMS[problem].answers(logits, target).items()}
    for piece in (rows, 16, 1):
        metric = load_metric(name, PROBLEMS[problem].metrics)
        for i in range(0, rows, piece):
            feed(metric, name, {key: value[i : i + piece] for key, value in columns.items()}, PROBLEMS[problem])
        found = metric.compute()
        assert list(found) == [name]
        assert type(found[name]) is float
        assert found[name] == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert direct_values(metric, columns) == found


def test_a_class_that_is_never_there_and_one_that_is_never_said_count_as_nothing():
    predictions, references = np.array([0, 0, 2], dtype=np.int32), np.array([0, 1, 1], dtype=np.int32)
    table = PROBLEMS[SINGLE].metrics
    for name, expected in {"balanced_accuracy": 1 / 2, "recall_macro": 1 / 3, "precision_macro": 1 / 6}.items():
        metric = load_metric(name, table)
        metric.add_batch(predictions=predictions, references=references)
        assert metric.compute()[name] == pytest.approx(expected)


def test_calibration_error_by_hand():
    confidence, correct = np.array([0.95, 0.95, 0.95, 0.65]), np.array([True, True, False, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx((3 * abs(0.95 - 2 / 3) + abs(0.65 - 1)) / 4)
    assert expected_calibration_error(np.ones(5), np.ones(5, bool)) == 0
