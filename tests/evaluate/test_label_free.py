"""Criteria without labels and priors of classes, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from hfft.evaluate import label_free
from hfft.evaluate.label_free import bbse_priors, chosen, criteria, em_priors, mean_entropy, snd, with_priors


def softmax(x):
    found = np.exp(x - x.max(1, keepdims=True))
    return found / found.sum(1, keepdims=True)


def test_snd_is_the_papers_row_by_row():
    p = softmax(np.random.default_rng(0).normal(size=(12, 4)) * 3)
    x = [row / np.sqrt((row**2).sum()) for row in p]
    rows = []
    for i in range(12):
        likeness = np.array([x[i] @ x[j] for j in range(12) if j != i]) / 0.05
        q = np.exp(likeness) / np.exp(likeness).sum()
        rows.append(-(q * np.log(q)).sum())
    assert snd(p) == pytest.approx(np.mean(rows))


def test_snd_prefers_dense_neighbourhoods_and_draws_of_many_rows(monkeypatch):
    rng = np.random.default_rng(0)
    dense = softmax(np.eye(4)[rng.integers(4, size=200)] * 8)
    loose = softmax(rng.normal(size=(200, 4)) * 8)
    assert snd(dense) > snd(loose)
    monkeypatch.setattr(label_free, "MOST", 50)
    assert snd(dense) == pytest.approx(np.log(50 / 4 - 1), abs=0.4)


def test_entropy_is_that_of_the_rows():
    assert mean_entropy(np.full((3, 4), 0.25)) == pytest.approx(np.log(4))
    assert mean_entropy(np.eye(4)) == 0


def test_criteria_of_the_source_need_its_rows():
    p = softmax(np.random.default_rng(0).normal(size=(20, 3)))
    assert set(criteria(p)) == {"snd", "entropy"}
    whole = criteria(p, p, p.argmax(1))
    assert list(whole) == list(label_free.CRITERIA)
    assert (whole["source_validation"], whole["atc"]) == (1.0, 1.0)


def test_the_source_only_model_is_kept_unless_another_is_strictly_better():
    found = {
        "source": {"snd": 2.0, "entropy": 0.5},
        "a": {"snd": 2.0, "entropy": 0.9},
        "b": {"snd": 1.0, "entropy": 0.1},
    }
    assert chosen(found, "source", "snd") == "source"
    assert chosen(found, "source", "entropy") == "b"
    assert chosen({**found, "c": {"snd": 3.0}}, "source", "snd") == "c"
    assert chosen(found, "source", "atc") == "source", "where nothing has the criterion"


@pytest.fixture
def shifted():
    """Probabilities of the Bayes classifier of two overlapping classes, for other shares than it was trained with."""
    rng = np.random.default_rng(0)
    truth, source = (rng.random(n) < share for n, share in ((4000, 0.85), (4000, 0.5)))

    def p(y):
        x = rng.normal(size=len(y)) + 1.5 * y
        right = 1 / (1 + np.exp(-(1.5 * x - 1.125)))
        return np.stack([1 - right, right], 1)

    return p(truth), truth.astype(int), p(source), source.astype(int)


def test_both_ways_find_the_shares_and_correcting_for_them_helps(shifted):
    p, truth, source, classes = shifted
    prior = np.array([0.5, 0.5])
    for found in (em_priors(p, prior), bbse_priors(p, source, classes)):
        assert found.sum() == pytest.approx(1)
        assert found[1] == pytest.approx(truth.mean(), abs=0.04)
    corrected = with_priors(p, prior, em_priors(p, prior))
    assert (corrected.argmax(1) == truth).mean() > (p.argmax(1) == truth).mean() + 0.03
    assert corrected.sum(1) == pytest.approx(1)


def test_em_is_at_a_fixed_point_where_the_mean_of_the_corrected_rows_is_the_prior(shifted):
    p, *_ = shifted
    prior = np.array([0.3, 0.7])
    found = em_priors(p, prior)
    assert with_priors(p, prior, found).mean(0) == pytest.approx(found, abs=1e-6)


def test_classes_that_were_never_trained_or_never_predicted_stay_finite():
    p = np.array([[0.7, 0.3, 0.0]] * 5)
    found = em_priors(p, np.array([0.5, 0.5, 0.0]))
    assert np.isfinite(found).all()
    assert found[2] == 0
    only = bbse_priors(p, p, np.array([0, 0, 0, 1, 1]))
    assert np.isfinite(only).all()
    assert only.sum() == pytest.approx(1)
