"""Scores and figures of rows out of distribution against scikit-learn and plain versions of the papers' formulas."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from sklearn import metrics as oracle
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from hfft.errors import BadInput
from hfft.evaluate import ood
from hfft.evaluate.intervals import bootstrap

D, C = 20, 4
RNG = np.random.default_rng(0)
WEIGHT, BIAS = RNG.normal(size=(C, D)), RNG.normal(size=C)
CENTRES = RNG.normal(size=(C, D)) * 2


def features(n, shift=0.0, seed=1):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, C, n)
    return CENTRES[classes] + rng.normal(size=(n, D)) @ np.diag(np.linspace(2, 0.1, D)) + shift, classes


TRAIN, CLASSES = features(300)
INSIDE, OUTSIDE = features(150, seed=2)[0], features(90, 0.6, seed=3)[0]


def logits(x):
    return x @ WEIGHT.T + BIAS


def test_scores_of_logits_are_the_papers():
    z = logits(INSIDE)
    np.testing.assert_allclose(ood.msp(z), -softmax(z, 1).max(1), atol=1e-12)
    np.testing.assert_allclose(ood.max_logit(z), -z.max(1))
    np.testing.assert_allclose(ood.energy(z), -logsumexp(z, 1), atol=1e-12)
    large = np.array([[1000.0, 0.0], [-1000.0, -1001.0]])
    assert np.isfinite([ood.msp(large), ood.energy(large)]).all()


def test_distance_to_the_neighbour_is_that_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(ood, "AT_ONCE", 64)  # several pieces
    nearest = NearestNeighbors(n_neighbors=ood.NEIGHBOURS).fit(normalize(TRAIN))
    expected = nearest.kneighbors(normalize(INSIDE))[0][:, -1]
    np.testing.assert_allclose(ood.Neighbours.fit(TRAIN)(INSIDE), expected, atol=1e-9)
    assert ood.Neighbours.fit(TRAIN[:7]).k == 7
    np.testing.assert_allclose(ood.Neighbours.fit(TRAIN, 1)(TRAIN), 0, atol=1e-6)


@pytest.mark.parametrize("rank", [D, D // 2])
def test_relative_mahalanobis_distance_is_that_of_scikit_learns_covariance(rank):
    base = np.random.default_rng(4).normal(size=(rank, D)) if rank < D else np.eye(D)  # of lower rank: singular
    train, inside = TRAIN[:, :rank] @ base, INSIDE[:, :rank] @ base
    means = [train[c == CLASSES].mean(0) for c in range(C)]
    within = EmpiricalCovariance(assume_centered=True).fit(
        np.concatenate([train[c == CLASSES] - means[c] for c in range(C)])
    )
    overall = EmpiricalCovariance(assume_centered=True).fit(train - train.mean(0))
    expected = np.min([within.mahalanobis(inside - mean) for mean in means], 0)
    expected = expected - overall.mahalanobis(inside - train.mean(0))
    np.testing.assert_allclose(ood.RelativeMahalanobis.fit(train, CLASSES)(inside), expected, rtol=1e-6, atol=1e-6)


def test_virtual_logit_ranks_as_its_softmax_probability_in_the_paper():
    fitted = ood.VirtualLogit.fit(TRAIN, logits(TRAIN), WEIGHT, BIAS)
    origin = -np.matmul(np.linalg.pinv(WEIGHT), BIAS)
    covariance = EmpiricalCovariance(assume_centered=True).fit(TRAIN - origin).covariance_
    values, vectors = np.linalg.eig(covariance)
    rest = vectors.T[np.argsort(values * -1)[D // 2 :]].T
    alpha = logits(TRAIN).max(1).mean() / np.linalg.norm((TRAIN - origin) @ rest, axis=1).mean()
    virtual = np.linalg.norm((INSIDE - origin) @ rest, axis=1) * alpha
    np.testing.assert_allclose(fitted(INSIDE, logits(INSIDE)), virtual - logsumexp(logits(INSIDE), 1), atol=1e-9)
    probability = softmax(np.hstack([logits(INSIDE), virtual[:, None]]), 1)[:, -1]
    score = fitted(INSIDE, logits(INSIDE))
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-score)), atol=1e-9)


def test_virtual_logit_needs_a_residual():
    with pytest.raises(BadInput, match="8 rows of train with 20 features lie in 10 dimensions"):
        ood.VirtualLogit.fit(TRAIN[:8], logits(TRAIN[:8]), WEIGHT, np.zeros(C))


@pytest.mark.parametrize(("d", "kept"), [(64, 32), (512, 256), (768, 512), (2048, 1000)])
def test_principal_space_of_vim(d, kept):
    assert ood.principal_dimensions(d) == kept


def figures(inside, outside):
    """OpenOOD's `compute_all_metrics` with average precision, and the energy paper's rate of false positives."""
    scores, out = np.concatenate([inside, outside]), np.repeat([0, 1], [len(inside), len(outside)])

    def rate(positive, score):
        false, true, _ = oracle.roc_curve(positive, score, drop_intermediate=False)
        return false[np.argmax(true >= 0.95)]

    return {
        "auroc": oracle.roc_auc_score(out, scores),
        "aupr_out": oracle.average_precision_score(out, scores),
        "aupr_in": oracle.average_precision_score(1 - out, -scores),
        "fpr95": rate(out, scores),
        "fpr95_id": rate(1 - out, -scores),
    }


@pytest.mark.parametrize("digits", [8, 0])  # with equal scores too
def test_figures_are_those_of_scikit_learn(digits):
    rng = np.random.default_rng(5)
    inside, outside = rng.normal(size=200).round(digits), rng.normal(1.5, 1, size=120).round(digits)
    found = bootstrap(ood.figures_of(inside, outside), 320, seed=0)
    for name, value in figures(inside, outside).items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-9), name
        assert found[name]["low"] <= value <= found[name]["high"], name


def test_weights_repeat_rows():
    rng = np.random.default_rng(6)
    inside, outside = rng.normal(size=60).round(1), rng.normal(1, 1, size=40).round(1)
    weights = rng.integers(0, 3, (4, 100)).astype(float)
    found = ood.figures_of(inside, outside)(weights)
    for i, row in enumerate(weights.astype(int)):
        wanted = figures(np.repeat(inside, row[:60]), np.repeat(outside, row[60:]))
        assert {name: found[name][i] for name in wanted} == pytest.approx(wanted, abs=1e-9)


def test_figures_of_one_kind_of_rows_are_not_numbers():
    found = ood.figures_of(np.arange(5.0), np.empty(0))(np.ones((1, 5)))
    assert all(np.isnan(found[name]).all() for name in ("auroc", "aupr_out", "fpr95", "fpr95_id"))
