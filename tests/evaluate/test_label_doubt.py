"""Confident learning against a plain version of the paper's, and planted faults found."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from hfft.evaluate import label_doubt as doubt


def rows(n=600, classes=4, flipped=0.03, seed=0, apart=2.5):
    """Features of classes that overlap little, their labels with some flipped, and the true ones."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    x = rng.normal(size=(n, 8)) + apart * np.eye(8)[truth] * np.sqrt(2)
    labels = truth.copy()
    wrong = rng.permutation(n)[: round(flipped * n)]
    labels[wrong] = (labels[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return x, labels, truth


def plain(p, labels):
    """Northcutt et al. 2021, section 3: the confident joint, its calibration, and pruning by class, row by row."""
    n, m = p.shape
    t = [np.mean([p[i, j] for i in range(n) if labels[i] == j]) if j in labels else np.inf for j in range(m)]
    joint = np.zeros((m, m))
    for i in range(n):
        able = [j for j in range(m) if p[i, j] >= t[j]]
        if able:
            joint[labels[i], max(able, key=lambda j: p[i, j])] += 1
    found = []
    for one in range(m):
        mine = [i for i in range(n) if labels[i] == one]
        if joint[one].sum():
            calibrated = joint[one] / joint[one].sum() * len(mine)
            count = round(calibrated.sum() - calibrated[one])
            found += [i for i in sorted(mine, key=lambda i: p[i, one])[:count] if p[i].argmax() != one]
    return joint, sorted(found, key=lambda i: p[i, labels[i]])


@pytest.mark.parametrize("seed", range(4))
def test_the_joint_and_the_doubted_rows_are_the_papers(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 200)  # a sixth class has no rows
    p = rng.dirichlet(np.ones(6) * 0.5, 200) + 0.25 * np.eye(6)[np.where(rng.random(200) < 0.9, labels, 2)]
    p /= p.sum(1, keepdims=True)
    joint, expected = plain(p, labels)
    np.testing.assert_array_equal(doubt.confident_joint(p, labels), joint)
    found = doubt.doubted(p, labels)
    assert found.rows.tolist() == expected
    assert len(expected) > 3
    np.testing.assert_allclose(found.own, p[expected, labels[expected]])
    np.testing.assert_array_equal(found.suggested, p[expected].argmax(1))
    np.testing.assert_allclose(found.confidence, p[expected].max(1))


def test_flipped_labels_are_the_first_doubted():
    x, labels, truth = rows()
    fold = doubt.folds(labels, np.arange(len(x)), 0)
    found = doubt.doubted(doubt.out_of_fold(x, labels, fold, 4), labels)
    wrong = labels != truth
    n = int(wrong.sum())
    assert n == 18
    assert wrong[found.rows[:n]].mean() >= 0.9  # precision at n
    assert np.isin(np.flatnonzero(wrong), found.rows).mean() >= 0.9
    right = wrong[found.rows]
    assert (found.suggested == truth[found.rows])[right].mean() >= 0.9


def test_clean_labels_are_hardly_doubted():
    x, labels, _ = rows(flipped=0, apart=5)
    fold = doubt.folds(labels, np.arange(len(x)), 0)
    assert len(doubt.doubted(doubt.out_of_fold(x, labels, fold, 4), labels).rows) == 0


def test_folds_are_stratified_and_equal_rows_share_one():
    labels = np.repeat([0, 1, 2], [50, 25, 7])
    same = np.arange(82)
    same[[3, 60, 81]] = 3  # copies with several labels
    fold = doubt.folds(labels, same, 0)
    assert fold[3] == fold[60] == fold[81]
    alone = doubt.folds(labels, np.arange(82), 0)
    for one, sizes in ((0, (10, 10)), (1, (5, 5)), (2, (1, 2))):
        counts = np.bincount(alone[labels == one], minlength=5)
        assert (counts.min(), counts.max()) == sizes
    assert not np.array_equal(alone, doubt.folds(labels, np.arange(82), 1))


def test_probabilities_are_those_of_scikit_learn_without_the_fold(monkeypatch):
    monkeypatch.setattr(doubt, "GRID", (0.1,))
    x, labels, _ = rows(200)
    fold = doubt.folds(labels, np.arange(200), 0)
    found = doubt.out_of_fold(x, labels, fold, 4)
    scaled = x - x.mean(0)
    scaled /= np.sqrt((scaled**2).mean())
    for number in range(5):
        solver = LogisticRegression(C=0.1, max_iter=100).fit(scaled[fold != number], labels[fold != number])
        np.testing.assert_allclose(found[fold == number], solver.predict_proba(scaled[fold == number]), atol=1e-9)


def test_a_class_of_one_row_and_features_without_spread_have_probabilities():
    labels = np.array([0] * 10 + [1] * 10 + [2])
    p = doubt.out_of_fold(np.ones((21, 3)), labels, doubt.folds(labels, np.arange(21), 0), 4)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(1), 1)
    assert len(doubt.doubted(p, labels).rows) <= 21


def test_wide_features_are_reduced_to_their_principal_components(monkeypatch):
    monkeypatch.setattr(doubt, "WIDEST", 3)
    x = np.random.default_rng(0).normal(size=(50, 6)) * [5, 4, 3, 0.2, 0.1, 0.1]
    found = doubt.prepared(x)
    expected = PCA(3).fit_transform(x)
    expected /= np.sqrt((expected**2).mean())
    np.testing.assert_allclose(np.abs(found[:, ::-1]), np.abs(expected), atol=1e-9)
