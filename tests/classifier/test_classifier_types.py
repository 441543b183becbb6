"""Every type against scikit-learn on the same features: predictions to the row, probabilities where it has them."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid
from sklearn.svm import SVC, SVR, LinearSVC

from hfft.classifier import ClassifierSpec, fit, load, save
from hfft.classifier.spec import MULTI, REGRESSION

DIGITS, CLASSES = load_digits(return_X_y=True)
PIXELS = (DIGITS + np.random.default_rng(0).normal(0, 0.01, DIGITS.shape)).astype(np.float32) / 16  # no equal distances
TRAIN, TEST = slice(0, 400), slice(400, 1000)
MODELS = {
    "logistic-regression": ({"C": 10.0}, LogisticRegression(C=10.0, max_iter=1000)),
    "logistic-regression balanced": (
        {"C": 0.1, "class_weight": "balanced"},
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
    ),
    "linear-svm": ({"C": 0.1}, LinearSVC(C=0.1, random_state=42)),
    "svm": ({"C": 1.0}, SVC(C=1.0)),
    "svm ties": ({"C": 0.01, "break_ties": True}, SVC(C=0.01, break_ties=True)),
    "svm poly": (
        {"C": 1.0, "kernel": "poly", "degree": 2, "coef0": 1.0},
        SVC(C=1.0, kernel="poly", degree=2, coef0=1.0),
    ),
    "svm sigmoid": ({"C": 1.0, "kernel": "sigmoid", "gamma": 0.01}, SVC(C=1.0, kernel="sigmoid", gamma=0.01)),
    "svm linear": ({"C": 1.0, "kernel": "linear"}, SVC(C=1.0, kernel="linear")),
    "knn": ({}, KNeighborsClassifier()),
    "knn distance": (
        {"n_neighbors": 3, "weights": "distance", "metric": "manhattan"},
        KNeighborsClassifier(3, weights="distance", metric="manhattan"),
    ),
    "knn cosine": ({"metric": "cosine"}, KNeighborsClassifier(metric="cosine")),
    "lda": ({}, LinearDiscriminantAnalysis()),
    "lda shrinkage": ({"shrinkage": "auto"}, LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
    "nearest-centroid": ({}, NearestCentroid()),
    "nearest-centroid manhattan": ({"metric": "manhattan"}, NearestCentroid(metric="manhattan")),
    "ridge": ({"alpha": 1.0}, RidgeClassifier(alpha=1.0)),
    "gradient-boosting": ({"max_iter": 5}, HistGradientBoostingClassifier(max_iter=5, random_state=42)),
}


def spec(name, **arguments):
    return ClassifierSpec(type=name.split()[0], **arguments)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("binary", [False, True], ids=["ten", "two"])
@pytest.mark.parametrize("name", MODELS)
def test_classes_are_scikit_learns_to_the_row(name, binary, tmp_path):
    arguments, reference = MODELS[name]
    y = CLASSES % 2 if binary else CLASSES
    fitted = fit(spec(name, **arguments), PIXELS[TRAIN], y[TRAIN])
    reference.fit(PIXELS[TRAIN].astype(float), y[TRAIN])
    found = fitted.probabilities(PIXELS[TEST])
    assert np.array_equal(found.argmax(axis=1), reference.predict(PIXELS[TEST].astype(float)))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    if hasattr(reference, "predict_proba") and not name.startswith("nearest-centroid"):
        np.testing.assert_allclose(found, reference.predict_proba(PIXELS[TEST].astype(float)), atol=1e-9)
    save(fitted, tmp_path)
    np.testing.assert_allclose(load(tmp_path).probabilities(PIXELS[TEST]), found, atol=1e-12)


TARGETS = np.stack([CLASSES % 2, CLASSES > 4, CLASSES == 3], axis=1).astype(int)


@pytest.mark.parametrize(
    ("name", "arguments", "reference"),
    [
        ("logistic-regression", {"C": 1.0}, lambda: LogisticRegression(max_iter=1000)),
        ("linear-svm", {"C": 1.0}, lambda: LinearSVC(random_state=42)),
        ("svm", {"C": 1.0}, SVC),
        ("ridge", {"alpha": 1.0}, RidgeClassifier),
        ("gradient-boosting", {"max_iter": 5}, lambda: HistGradientBoostingClassifier(max_iter=5, random_state=42)),
        ("knn", {}, KNeighborsClassifier),
    ],
)
def test_several_labels_are_a_classifier_each(name, arguments, reference, tmp_path):
    fitted = fit(spec(name, **arguments), PIXELS[TRAIN], TARGETS[TRAIN], problem=MULTI)
    found = fitted.probabilities(PIXELS[TEST])
    for k in range(3):
        alone = reference().fit(PIXELS[TRAIN].astype(float), TARGETS[TRAIN, k])
        assert np.array_equal(found[:, k] > 0.5, alone.predict(PIXELS[TEST].astype(float)) == 1)
        if hasattr(alone, "predict_proba"):
            expected = alone.predict_proba(PIXELS[TEST].astype(float))[:, 1]
            np.testing.assert_allclose(found[:, k], expected, atol=1e-6)
    save(fitted, tmp_path)
    np.testing.assert_allclose(load(tmp_path).probabilities(PIXELS[TEST]), found, atol=1e-12)
    assert (fitted.linear is not None) == (name in ("logistic-regression", "linear-svm", "ridge"))


def test_a_label_that_no_row_has_gets_a_constant_probability():
    y = TARGETS.copy()
    y[:, 1] = 0
    fitted = fit(spec("logistic-regression", C=1.0), PIXELS[TRAIN], y[TRAIN], problem=MULTI)
    np.testing.assert_allclose(fitted.probabilities(PIXELS[TEST])[:, 1], 1 / 402)


@pytest.mark.parametrize(
    ("name", "arguments", "reference"),
    [
        ("ridge", {"alpha": 1.0}, Ridge),
        ("svm", {"C": 10.0, "epsilon": 0.01}, lambda: SVR(C=10.0, epsilon=0.01)),
        ("knn", {}, KNeighborsRegressor),
        ("gradient-boosting", {"max_iter": 5}, lambda: HistGradientBoostingRegressor(max_iter=5, random_state=42)),
    ],
)
def test_values_are_scikit_learns(name, arguments, reference, tmp_path):
    x, y = load_diabetes(return_X_y=True)
    y = np.stack([y, -y / 2], axis=1)
    fitted = fit(spec(name, **arguments), x[:300], y[:300], problem=REGRESSION)
    found = fitted.probabilities(x[300:])
    for k in range(2):
        np.testing.assert_allclose(found[:, k], reference().fit(x[:300], y[:300, k]).predict(x[300:]), rtol=1e-9)
    save(fitted, tmp_path)
    np.testing.assert_allclose(load(tmp_path).probabilities(x[300:]), found, rtol=1e-12)


def test_prototypes_are_the_softmax_of_squared_distances():
    found = fit(spec("prototype", temperature=2.0), PIXELS[TRAIN], CLASSES[TRAIN]).probabilities(PIXELS[TEST])
    means = np.stack([PIXELS[TRAIN][CLASSES[TRAIN] == k].astype(float).mean(axis=0) for k in range(10)])
    odds = np.exp(-np.square(PIXELS[TEST][:, None].astype(float) - means).sum(axis=2) / 2)
    np.testing.assert_allclose(found, odds / odds.sum(axis=1, keepdims=True), atol=1e-12)
    found = fit(spec("prototype", metric="cosine"), PIXELS[TRAIN], CLASSES[TRAIN]).probabilities(PIXELS[TEST])
    cosines = (PIXELS[TEST] @ means.T) / np.linalg.norm(PIXELS[TEST], axis=1)[:, None] / np.linalg.norm(means, axis=1)
    np.testing.assert_allclose(found, np.exp(cosines) / np.exp(cosines).sum(axis=1, keepdims=True), atol=1e-6)


def test_an_equal_row_outvotes_all_others():
    x = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0) * 7.3
    fitted = fit(spec("knn", n_neighbors=4, weights="distance"), x, np.array([0, 1, 2, 2, 2, 2]))
    np.testing.assert_allclose(fitted.probabilities(x[:1]), [[0.5, 0.5, 0.0]], atol=1e-11)


def test_the_nearest_rows_are_found_in_blocks(monkeypatch):
    fitted = fit(spec("knn"), PIXELS[TRAIN], CLASSES[TRAIN])
    whole = fitted.probabilities(PIXELS[TEST])
    monkeypatch.setattr("hfft.classifier.knn.BLOCK", 7 * 400)
    np.testing.assert_allclose(fitted.probabilities(PIXELS[TEST]), whole, atol=1e-12)
