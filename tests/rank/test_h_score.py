"""H-score against the formula of its paper."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from hfft.rank.h_score import h_score


@pytest.mark.parametrize(("rows", "width"), [(90, 7), (20, 30)])
def test_it_is_the_trace_of_the_papers_product(rows, width):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, rows)
    features = rng.normal(size=(rows, width)) + rng.normal(size=(4, width))[labels]
    found = LedoitWolf().fit(features)
    means = np.stack([features[labels == k].mean(0) for k in range(4)])[labels]
    between = np.cov(means, rowvar=False, ddof=0)
    expected = np.trace(np.linalg.pinv(found.covariance_) @ ((1 - found.shrinkage_) * between))
    assert h_score(features, labels) == pytest.approx(expected, rel=1e-9)


def test_class_numbers_need_not_be_consecutive():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    features = rng.normal(size=(30, 4)) + labels[:, None]
    assert h_score(features, labels * 10 + 7) == pytest.approx(h_score(features, labels))


def test_noise_scores_far_less_than_without_shrinkage():
    rng = np.random.default_rng(0)
    labels, noise = np.arange(300) % 10, rng.normal(size=(300, 200))
    means = np.stack([noise[labels == k].mean(0) for k in range(10)])[labels]
    plain = np.trace(np.linalg.pinv(np.cov(noise, rowvar=False)) @ np.cov(means, rowvar=False))
    assert plain > 5  # of at most 9, although no feature knows a class
    assert h_score(noise, labels) < 0.5
