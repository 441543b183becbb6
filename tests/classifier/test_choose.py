"""An argument is chosen on validation rows, or by cross-validation."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from hfft.classifier import ClassifierSpec, fit
from hfft.classifier.logistic import GRID
from hfft.classifier.logistic_path import path

X, Y = load_digits(return_X_y=True)
X = X / 16
HELD = X[300:500], Y[300:500]


def test_the_grid_is_kornbliths():
    assert len(GRID) == 45
    np.testing.assert_allclose([GRID[0], GRID[-1]], [1e-6, 1e5])
    np.testing.assert_allclose(np.diff(np.log10(GRID)), 0.25)


@pytest.mark.parametrize("weights", [None, "balanced"])
@pytest.mark.parametrize("classes", [10, 2])
def test_the_path_is_scikit_learns_at_each_value(classes, weights):
    y, values = Y[:300] % classes, [0.01, 1.0, 10.0]
    found = path(X[:300], y, {"tol": 1e-7, "class_weight": weights}, "C", values)
    for value, model in zip(values, found, strict=True):
        cold = LogisticRegression(C=value, tol=1e-8, max_iter=5000, class_weight=weights).fit(X[:300], y)
        np.testing.assert_allclose(softmax(model.logits(X[300:]), axis=1), cold.predict_proba(X[300:]), atol=5e-3)


def test_the_path_of_several_labels_is_that_of_each():
    y = np.stack([Y[:300] % 2, Y[:300] > 6], axis=1).astype(int)
    for value, model in zip([0.1, 10.0], path(X[:300], y, {"tol": 1e-6}, "C", [0.1, 10.0]), strict=True):
        for k in range(2):
            cold = LogisticRegression(C=value, tol=1e-8, max_iter=5000).fit(X[:300], y[:, k])
            np.testing.assert_allclose(model.logits(X[300:])[:, k], cold.decision_function(X[300:]), atol=2e-2)


def test_the_rest_of_a_grid_is_not_tried_where_it_grows_no_better():
    spec = ClassifierSpec(type="knn", n_neighbors=[1, *range(100, 120)])
    fitted = fit(spec, X[:300], Y[:300], validation=HELD)
    assert len(fitted.chosen["scores"]) == 9
    assert "n_neighbors 1 is the best of 21 (the last 12 not tried)" in fitted.notes[-1]


def test_the_value_is_the_best_on_the_validation_rows_and_the_fit_is_scikit_learns():
    fitted = fit(ClassifierSpec(type="logistic-regression", C=[0.001, 0.1, 10.0]), X[:300], Y[:300], validation=HELD)
    scores = [LogisticRegression(C=c, max_iter=1000).fit(X[:300], Y[:300]).score(*HELD) for c in (0.001, 0.1, 10.0)]
    np.testing.assert_allclose(
        fitted.chosen["scores"], scores, atol=0.006
    )  # a row may differ: both stop at a tolerance
    assert fitted.chosen["value"] == (0.001, 0.1, 10.0)[int(np.argmax(scores))]
    assert "200 validation rows" in fitted.chosen["on"]
    best = LogisticRegression(C=fitted.chosen["value"], max_iter=1000).fit(X[:300], Y[:300])
    assert np.array_equal(fitted.probabilities(X[500:]).argmax(axis=1), best.predict(X[500:]))


def test_without_validation_rows_it_is_cross_validated():
    fitted = fit(ClassifierSpec(type="knn", n_neighbors=[1, 3, 40]), X[:300], Y[:300], seed=7)
    from sklearn.neighbors import KNeighborsClassifier

    folds = StratifiedKFold(5, shuffle=True, random_state=7)
    expected = [cross_val_score(KNeighborsClassifier(k), X[:300], Y[:300], cv=folds).mean() for k in (1, 3, 40)]
    np.testing.assert_allclose(fitted.chosen["scores"], expected)
    assert "5-fold cross-validation of 300 training rows" in fitted.notes[-1]


def test_a_class_of_one_row_leaves_nothing_to_choose_by():
    rows = [*np.flatnonzero(Y == 0)[:9], *np.flatnonzero(Y == 1)[:1]]
    fitted = fit(ClassifierSpec(type="logistic-regression"), X[rows], Y[rows])
    assert "a class has a single row" in fitted.notes[-1]
    assert fitted.chosen["value"] == 1.0


def test_equal_scores_choose_the_stronger_regularisation():
    spec = ClassifierSpec(type="ridge", alpha=[10.0, 1.0, 10.0])
    fitted = fit(spec, X[:300], Y[:300], validation=(X[:1], Y[:1]))
    assert fitted.chosen["scores"] == [1.0, 1.0, 1.0]
    assert fitted.chosen["value"] == 10.0


def test_refit_takes_the_validation_rows_too():
    spec = ClassifierSpec(type="logistic-regression", C=[0.1, 1.0], refit=True)
    fitted = fit(spec, X[:300], Y[:300], validation=HELD)
    both = LogisticRegression(C=fitted.chosen["value"], max_iter=1000).fit(X[:500], Y[:500])
    np.testing.assert_allclose(fitted.probabilities(X[500:]), both.predict_proba(X[500:]), atol=1e-9)


def test_a_value_at_the_end_of_the_grid_is_told():
    fitted = fit(ClassifierSpec(type="svm", C=[0.001, 10.0]), X[:300], Y[:300], validation=HELD)
    assert fitted.notes[-1].endswith("at the end of the grid")


def test_a_plateau_of_strong_regularisation_does_not_end_the_search():
    x, held = X[:200] * 0.1, (HELD[0] * 0.1, HELD[1])  # small features: many values of C answer alike
    found = fit(ClassifierSpec(type="logistic-regression"), x, Y[:200], validation=held, seed=0)
    models = path(x, Y[:200], {}, "C", GRID)
    scores = [float((model.logits(held[0]).argmax(1) == held[1]).mean()) for model in models]
    assert len(set(scores[:9])) == 1 < len(set(scores))
    assert found.chosen["scores"] == pytest.approx(scores[: len(found.chosen["scores"])])
    assert max(found.chosen["scores"]) == max(scores)
