"""Metrics fed in batches are those of the whole, and agree with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from hfft.evaluate import Metrics
from hfft.evaluate.metrics import expected_calibration_error
from hfft.tasks.labels import Labels
from hfft.tasks.table import METRICS

SINGLE, MULTI, REGRESSION, MASKED = METRICS


def example(problem: str, rows: int = 203, size: int = 7) -> tuple[torch.Tensor, torch.Tensor, Labels]:
    """Logits and labels of a split."""
    torch.manual_seed(0)
    logits = torch.randn(rows, size) * 2
    names = [f"class {i}" for i in range(size)]
    if problem == SINGLE:
        return logits, (logits + torch.randn(rows, size) * 2).argmax(1), Labels.of(problem, names)
    if problem == MULTI:
        return logits, (logits + torch.randn(rows, size) > 0.5).float(), Labels.of(problem, names)
    return logits, logits + torch.randn(rows, size), Labels(problem, (), size)


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
@pytest.mark.parametrize("batch", [1, 16, 203])
def test_batches_of_any_size_give_the_figures_of_the_whole(problem, batch):
    logits, target, labels = example(problem)
    whole, parts = (Metrics(labels, METRICS[problem]) for _ in range(2))
    whole.update(logits, target)
    for i in range(0, len(logits), batch):
        parts.update(logits[i : i + batch], target[i : i + batch])
    expected, found = whole.compute(), parts.compute()
    assert found == pytest.approx(expected, rel=1e-6)
    assert found["n"] == 203
    assert set(METRICS[problem]) < set(found)


def test_single_label_metrics_are_those_of_scikit_learn():
    logits, target, labels = example(SINGLE)
    metrics = Metrics(labels, METRICS[SINGLE])
    metrics.update(logits, target)
    found, predicted = metrics.compute(), logits.argmax(1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(target, predicted))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(target, predicted))
    assert found["f1_macro"] == pytest.approx(sk.f1_score(target, predicted, average="macro"))
    assert found["matthews_correlation"] == pytest.approx(sk.matthews_corrcoef(target, predicted))
    assert found["top5_accuracy"] == pytest.approx(sk.top_k_accuracy_score(target, logits, k=5))
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, target).item(), rel=1e-6)
    assert metrics.result["confusion"] == sk.confusion_matrix(target, predicted).tolist()
    assert [row["n"] for row in metrics.result["classes"]] == torch.bincount(target, minlength=7).tolist()


def test_multi_label_and_regression_metrics_are_those_of_scikit_learn():
    logits, target, labels = example(MULTI)
    metrics = Metrics(labels, METRICS[MULTI])
    metrics.update(logits, target)
    found = metrics.compute()
    assert found["f1_micro"] == pytest.approx(sk.f1_score(target, logits >= 0, average="micro"))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(target, logits.sigmoid()))
    logits, target, labels = example(REGRESSION, size=1)
    metrics = Metrics(labels, METRICS[REGRESSION])
    metrics.update(logits, target)
    found = metrics.compute()
    assert found["rmse"] == pytest.approx(found["mse"] ** 0.5)
    assert found["r2"] == pytest.approx(sk.r2_score(target, logits), rel=1e-6)


def test_masked_tokens_count_alike_whatever_batch_they_are_in():
    metrics = Metrics(Labels(MASKED), ["perplexity"])
    metrics.update(torch.tensor([[6.0, 3.0], [0.0, 0.0]]), torch.zeros(2))
    metrics.update(torch.tensor([[2.0, 1.0]]), torch.zeros(1))
    assert metrics.compute() == {"loss": 2.0, "perplexity": pytest.approx(np.exp(2.0)), "n": 3}


def test_calibration_error_by_hand():
    confidence, correct = np.array([0.95, 0.95, 0.95, 0.65]), np.array([True, True, False, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx((3 * abs(0.95 - 2 / 3) + abs(0.65 - 1)) / 4)
    assert expected_calibration_error(np.ones(5), np.ones(5, bool)) == 0


def test_what_is_kept_does_not_grow_with_the_classes():
    labels = Labels.of(SINGLE, [str(i) for i in range(5000)])
    metrics = Metrics(labels, ["accuracy"])
    metrics.update(torch.randn(8, 5000), torch.zeros(8, dtype=torch.long))
    assert sum(array.nbytes for arrays in metrics._kept.values() for array in arrays) <= 8 * 5 * 8


def test_a_split_without_rows_is_an_error_and_figures_start_over_after_each_split():
    logits, target, labels = example(SINGLE)
    metrics = Metrics(labels, ["accuracy"])
    with pytest.raises(ValueError, match="empty"):
        metrics.compute()
    batch = type("Batch", (), {"predictions": logits, "label_ids": target})
    assert metrics(batch, compute_result=False) == {}
    assert metrics(batch, compute_result=True)["n"] == 406
    assert metrics(batch, compute_result=True)["n"] == 203


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_one_row_and_constant_predictions_give_finite_figures(problem):
    for rows in (1, 5):
        logits, target, labels = example(problem, rows=rows)
        metrics = Metrics(labels, METRICS[problem])
        metrics.update(torch.zeros_like(logits), target)
        assert np.isfinite(list(metrics.compute().values())).all()
