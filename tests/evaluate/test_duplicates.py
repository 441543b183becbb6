"""Copies and near-duplicates against a comparison of every pair."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from hfft.evaluate import duplicates


def test_copies_are_told_with_the_first_of_them():
    rows, of = duplicates.exact(np.array([5, 0, 7, 5, 0, 7, 5, -3]))
    assert (rows.tolist(), of.tolist()) == ([3, 5, 6], [0, 2, 0])  # 0 is not known
    assert len(duplicates.exact(np.empty(0, np.int64))[0]) == 0


@pytest.mark.parametrize("preferred", [0, 70])
def test_near_duplicates_are_those_of_every_pair(preferred, monkeypatch):
    monkeypatch.setattr(duplicates, "AT_ONCE", 16)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 12)) + 3
    x[100:] = x[:20] + 0.02 * rng.normal(size=(20, 12))
    x[95:100] = x[80:85] + 0.02 * rng.normal(size=(5, 12))
    x[110] = x[90] = x[10]  # a twin on both sides of `preferred`
    rows, of, similarity = duplicates.near(x, preferred)
    similar = cosine_similarity(x - x.mean(0))
    expected = {}
    for i in range(120):
        able = [j for j in range(i) if similar[i, j] >= duplicates.NEAR]
        able = [j for j in able if j < preferred] or able
        if able:
            expected[i] = max(able, key=lambda j: (round(similar[i, j], 5), -j))
    assert dict(zip(rows.tolist(), of.tolist(), strict=True)) == expected
    assert set(range(100, 120)) <= set(expected)
    np.testing.assert_allclose(similarity, similar[rows, of], atol=1e-5)


def test_rows_without_features_of_their_own_are_not_near():
    assert len(duplicates.near(np.ones((5, 3)))[0]) == 0
    assert len(duplicates.near(np.ones((1, 3)))[0]) == 0
