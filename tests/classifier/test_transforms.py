"""Transforms against their definitions, and their folding into a linear classifier."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler, normalize

from hfft.classifier import ClassifierSpec, fit
from hfft.classifier.transforms import apply, fit_steps
from hfft.classifier.transforms.coral import coral
from hfft.classifier.transforms.tca import tca
from hfft.errors import BadInput

X, Y = load_digits(return_X_y=True)
X = X / 16
TARGET = X[800:1200] * 0.5 + 0.3 + np.random.default_rng(0).normal(0, 0.05, (400, 64))


def test_standardise_l2_pca_and_whiten_are_scikit_learns():
    expected = {
        "standardise": StandardScaler().fit(X[:500]).transform(X[500:]),
        "l2": normalize(X[500:]),
        "whiten": PCA(svd_solver="full", whiten=True).fit(X[:500]).transform(X[500:]),
    }
    for name, values in expected.items():
        _, steps = fit_steps([(name, None)], X[:500], None)
        found = apply(steps, X[500:])
        np.testing.assert_allclose(found, values[:, : found.shape[1]], atol=1e-6)
    _, steps = fit_steps([("pca", 10)], X[:500], None)
    np.testing.assert_allclose(
        apply(steps, X[500:]), PCA(10, svd_solver="full").fit(X[:500]).transform(X[500:]), atol=1e-9
    )


def test_whiten_leaves_directions_without_variance_out():
    _, steps = fit_steps([("whiten", None)], X[:500], None)
    found = apply(steps, X[:500])
    assert found.shape[1] < 64  # some pixels are always 0
    np.testing.assert_allclose(np.cov(found.T), np.eye(found.shape[1]), atol=1e-8)


def test_statistics_per_domain_bring_both_to_mean_0_and_variance_1():
    of_source, of_target = fit_steps([("standardise", "per-domain")], X[:500], TARGET)
    for steps, rows in ((of_source, X[:500]), (of_target, TARGET)):
        found = apply(steps, rows)
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-10)
        deviation = found.std(axis=0)
        assert ((np.abs(deviation - 1) < 1e-9) | (deviation == 0)).all()
    _, shared = fit_steps([("standardise", None)], X[:500], TARGET)
    assert np.abs(apply(shared, TARGET).mean(axis=0)).max() > 0.5


def test_coral_is_the_formula_of_the_paper():
    source, target = X[:500], TARGET
    whitened = np.linalg.inv(sqrtm(np.cov(source.T) + np.eye(64)).real)
    np.testing.assert_allclose(coral(source, target), whitened @ sqrtm(np.cov(target.T) + np.eye(64)).real, atol=1e-8)
    moved = source @ coral(source, target, ridge=1e-9 + 1e-6)
    seen = np.linalg.matrix_rank(
        np.cov(source.T), tol=1e-4
    )  # where the source varies, its covariance becomes the target's
    assert np.linalg.norm(np.cov(moved.T) - np.cov(target.T)) < np.linalg.norm(np.cov(source.T) - np.cov(target.T))
    assert seen > 40


def test_coral_leaves_target_rows_as_they_are():
    of_source, of_target = fit_steps([("coral", None)], X[:500], TARGET)
    assert np.array_equal(apply(of_target, TARGET), TARGET)
    assert not np.allclose(apply(of_source, X[:500]), X[:500])


def test_tca_solves_its_eigenproblem_and_brings_the_means_together():
    source, target = X[:200, 10:30], TARGET[:150, 10:30]
    found = tca(source, target, 5)
    both = np.concatenate([source, target])
    rows = len(both)
    signs = np.concatenate([np.full(200, 1 / 200), np.full(150, -1 / 150)])
    distance = both.T @ np.outer(signs, signs) @ both + np.eye(20)
    scatter = both.T @ (np.eye(rows) - 1 / rows) @ both
    np.testing.assert_allclose(found.T @ scatter @ found, np.eye(5), atol=1e-8)
    values = np.sort(np.linalg.eigvals(np.linalg.solve(scatter, distance)).real)
    np.testing.assert_allclose(np.diag(found.T @ distance @ found), values[:5], rtol=1e-6)  # the least there are
    gap = (source.mean(axis=0) - target.mean(axis=0)) @ found
    principal = PCA(5).fit(both).components_.T
    principal = principal / (both @ principal).std(axis=0) / np.sqrt(rows)
    assert np.linalg.norm(gap) < np.linalg.norm((source.mean(axis=0) - target.mean(axis=0)) @ principal)


@pytest.mark.parametrize(
    "steps",
    [
        ["standardise"],
        ["standardise", {"pca": 20}, "whiten"],
        [{"standardise": "per-domain"}, "coral", {"tca": 20}],
        ["whiten"],
    ],
    ids=str,
)
def test_affine_transforms_fold_into_a_linear_classifier(steps):
    spec = ClassifierSpec(type="logistic-regression", C=1.0, transform=steps)
    fitted = fit(spec, X[:500], Y[:500], target=TARGET)
    weight, bias = fitted.linear
    assert weight.shape == (10, 64)
    np.testing.assert_allclose(X[500:] @ weight.T + bias, fitted.logits(X[500:]), atol=1e-9)


def test_l2_and_other_types_are_not_linear():
    for spec in (
        ClassifierSpec(type="lda", transform=["l2"]),
        ClassifierSpec(type="knn"),
        ClassifierSpec(type="prototype", metric="cosine"),
    ):
        assert fit(spec, X[:500], Y[:500]).linear is None


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([("pca", 65)], "pca has 65 components, but 500 training rows with 64 features have at most 64"),
        ([("tca", 65)], "tca has 65 components of 64 features"),
    ],
)
def test_too_many_components_are_refused(steps, told):
    with pytest.raises(BadInput, match=told):
        fit_steps(steps, X[:500], TARGET)


@pytest.mark.parametrize("step", [("coral", None), ("tca", None), ("standardise", "per-domain")], ids=str)
def test_two_domains_are_needed(step):
    with pytest.raises(BadInput, match=r"give rows of the other in data\.sets\.target"):
        fit_steps([step], X[:500], None)
