"""A classifier for each source, and their votes on rows of another domain."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from hfft.errors import BadInput
from hfft.scenarios.adaptation.source_heads import fit_heads

NAMES = ("left", "right")


def rows(count=200, seed=0):
    """Two sources apart in the first feature, whose classes depend on the second one in opposite ways."""
    draw = np.random.default_rng(seed)
    sources = np.arange(count) % 2
    x = draw.normal(size=(count, 3))
    x[:, 0] += np.where(sources == 0, -6, 6)
    y = ((x[:, 1] > 0) ^ (sources == 1)).astype(np.int64)
    return x, y, sources


def test_votes_by_likeness_choose_the_head_of_the_source_that_a_row_looks_like():
    heads = fit_heads(*rows(), NAMES, 2, seed=1)
    x, y, sources = rows(seed=1)
    weights = heads.weights(x)
    np.testing.assert_allclose(weights.sum(0), 1)
    assert (weights.argmax(0) == sources).all()
    assert (heads.probabilities(x).argmax(1) == y).mean() > 0.9
    equal = heads.probabilities(x, weighted=False)
    assert (equal.argmax(1) == y).mean() < 0.7, "heads that contradict each other cancel out"
    np.testing.assert_allclose(equal, (heads.votes(x)[0] + heads.votes(x)[1]) / 2)


def test_the_sum_over_sources_is_the_one_by_hand():
    x, y, sources = rows()
    heads = fit_heads(x, y, sources, NAMES, 2, seed=1)
    new = rows(seed=2)[0][:7]

    def of_scikit_learn(inner, targets):
        mean, std = inner.mean(0), inner.std(0)
        fitted = LogisticRegression(C=1.0, max_iter=1000).fit((inner - mean) / std, targets)
        decided = fitted.decision_function((new - mean) / std)
        return softmax(np.stack([np.zeros_like(decided), decided], 1), 1)

    votes = [of_scikit_learn(x[sources == i], y[sources == i]) for i in (0, 1)]
    weights = of_scikit_learn(x, sources)
    by_hand = sum(weights[:, i : i + 1] * votes[i] for i in (0, 1))
    np.testing.assert_allclose(heads.probabilities(new), by_hand, atol=1e-5)


def test_a_class_that_a_source_has_no_row_of_gets_no_vote_of_it():
    x, y, sources = rows()
    y = np.where(sources == 1, y + 1, y)  # the left source has classes 0 and 1, the right one 1 and 2
    heads = fit_heads(x, y, sources, NAMES, 3, seed=1)
    left, right = heads.votes(x)
    assert (left[:, 2] == 0).all()
    assert (right[:, 0] == 0).all()
    np.testing.assert_allclose(heads.probabilities(x).sum(1), 1)


def test_one_source_and_a_source_of_one_class_are_refused():
    x, y, sources = rows()
    with pytest.raises(BadInput, match=r"one source alone \(left\); votes need several in data.columns.domain"):
        fit_heads(x, y, np.zeros_like(sources), NAMES[:1], 2, seed=1)
    with pytest.raises(BadInput, match=r"source 'right' has rows of one class; .* so leave its rows out"):
        fit_heads(x, np.where(sources == 1, 0, y), sources, NAMES, 2, seed=1)
