"""The figures of the task against scikit-learn and SciPy, and their weights as the rows repeated."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax
from sklearn import metrics as oracle

from hfft.evaluate import weighted
from hfft.evaluate.outputs import Outputs
from hfft.scorecard.blocks import task
from hfft.scorecard.evidence import probabilities
from hfft.tasks.labels import Labels

N = 400


def outputs(problem, logits, references, losses):
    labels = Labels.of(problem, [f"class {i}" for i in range(logits.shape[1])])
    return Outputs("test", "given", labels, losses.astype("float32"), np.ones(N, "float32"), logits, references)


@pytest.fixture(scope="module", params=[2, 4])
def classes(request):
    """Logits, probabilities and true classes; with four classes one never occurs."""
    rng, c = np.random.default_rng(request.param), request.param
    references = rng.integers(0, max(c - 1, 2), N)
    logits = (rng.normal(size=(N, c)) + 1.5 * np.eye(c)[references]).round(1)  # rounded, so that scores are equal
    losses = -log_softmax(logits, 1)[np.arange(N), references]
    given = outputs("single_label_classification", logits, references, losses)
    return given, probabilities(given)[0], references  # the same to the last bit: areas depend on equal scores


def expected(p, y, weights=None):
    predictions, present = p.argmax(1), np.unique(y)
    kwargs = {"sample_weight": weights}
    if p.shape[1] == 2:
        areas = [(oracle.roc_auc_score(y, p[:, 1], **kwargs), oracle.average_precision_score(y, p[:, 1], **kwargs))]
    else:
        areas = [
            (oracle.roc_auc_score(y == k, p[:, k], **kwargs), oracle.average_precision_score(y == k, p[:, k], **kwargs))
            for k in present
        ]
    auroc, auprc = np.mean(areas, 0)
    return {
        "accuracy": oracle.accuracy_score(y, predictions, **kwargs),
        "balanced_accuracy": oracle.recall_score(y, predictions, labels=present, average="macro", **kwargs),
        "f1_macro": oracle.f1_score(y, predictions, average="macro", **kwargs),
        "f1_weighted": oracle.f1_score(y, predictions, average="weighted", **kwargs),
        "mcc": oracle.matthews_corrcoef(y, predictions, **kwargs),
        "auroc": auroc,
        "auprc": auprc,
        "nll": oracle.log_loss(y, p, labels=range(p.shape[1]), **kwargs),
        "brier": np.average(((p - np.eye(p.shape[1])[y]) ** 2).sum(1), weights=weights),
    }


def test_figures_of_classes_are_those_of_scikit_learn(classes):
    given, p, y = classes
    found = task.of_classes(given, seed=0)
    for name, value in expected(p, y).items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6), name
        assert found[name]["low"] < value < found[name]["high"], name
    assert found["mean_per_class_accuracy"] == found["balanced_accuracy"]


def test_a_row_with_weight_two_counts_as_two_rows(classes):
    _, p, y = classes
    weights = np.random.default_rng(0).integers(0, 3, (3, N)).astype(float)
    matrices = weighted.confusion(weights, y, p.argmax(1), p.shape[1])
    found = weighted.of_classes(matrices)
    area, precision = weighted.auroc_and_average_precision(weights, p[:, 1], y == 1)
    for i, row in enumerate(weights):
        repeated = np.repeat(np.arange(N), row.astype(int))
        wanted = expected(p[repeated], y[repeated])
        for name in ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "mcc"):
            assert found[name][i] == pytest.approx(wanted[name], abs=1e-9), name
        assert area[i] == pytest.approx(oracle.roc_auc_score(y[repeated] == 1, p[repeated, 1]), abs=1e-9)
        assert precision[i] == pytest.approx(oracle.average_precision_score(y[repeated] == 1, p[repeated, 1]), abs=1e-9)


def test_figures_of_several_labels_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = (rng.random((N, 5)) < 0.3).astype("float32")
    y[:, 4] = 0  # a class that never occurs
    logits = rng.normal(size=(N, 5)) + 2 * y - 1
    p = 1 / (1 + np.exp(-logits))
    found = task.of_several(outputs("multi_label_classification", logits, y, np.ones(N)), seed=0)
    chosen, seen = p > 0.5, slice(0, 4)
    wanted = {
        "subset_accuracy": oracle.accuracy_score(y, chosen),
        "hamming_accuracy": 1 - oracle.hamming_loss(y, chosen),
        "f1_micro": oracle.f1_score(y, chosen, average="micro"),
        "f1_macro": oracle.f1_score(y, chosen, average="macro", zero_division=0),
        "auroc": oracle.roc_auc_score(y[:, seen], p[:, seen], average="macro"),
        "auprc": oracle.average_precision_score(y[:, seen], p[:, seen], average="macro"),
    }
    for name, value in wanted.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6), name


def test_figures_of_values_are_those_of_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(N, 2))
    values = y + rng.normal(size=(N, 2)) * [0.5, 1.0] + 0.2
    found = task.of_values(outputs("regression", values, y, np.ones(N)), seed=0)
    wanted = {
        "mse": oracle.mean_squared_error(y, values),
        "rmse": oracle.mean_squared_error(y, values) ** 0.5,
        "mae": oracle.mean_absolute_error(y, values),
        "r2": oracle.r2_score(y, values),
        "pearson": np.mean([stats.pearsonr(y[:, k], values[:, k]).statistic for k in range(2)]),
        "spearman": np.mean([stats.spearmanr(y[:, k], values[:, k]).statistic for k in range(2)]),
        "bias": (values - y).mean(),
    }
    for name, value in wanted.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6), name
        assert found[name]["low"] < value < found[name]["high"], name
