"""Probes against models that are fitted fold by fold, and all scores of one model."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold

from hfft.errors import BadInput
from hfft.evaluate.logme import logme
from hfft.rank.h_score import h_score
from hfft.rank.nce import nce
from hfft.rank.probe import linear_probe, nearest_neighbours
from hfft.rank.scores import checked_targets, scores


def case(rows=60, classes=3, apart=0.8):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    return rng.normal(size=(rows, 6)) + apart * rng.normal(size=(classes, 6))[labels], labels


def folds_of(features, cv):
    """(train rows, test rows, standardised features) of each fold."""
    for train, test in cv:
        at, spread = features[train].mean(0), features[train].std(0)
        yield train, test, (features - at) / spread


def nearest(scaled, train, test, count):
    """The nearest training rows of each test row."""
    distances = ((scaled[test][:, None] - scaled[train][None]) ** 2).sum(2)
    return train[np.argsort(distances, 1)[:, :count]]


def test_classes_are_probed_fold_by_fold():
    features, labels = case()
    right_linear = right_knn = 0
    cv = StratifiedKFold(5, shuffle=True, random_state=7).split(features, labels)
    for train, test, scaled in folds_of(features, cv):
        fitted = LogisticRegression(max_iter=200).fit(scaled[train], labels[train])
        right_linear += (fitted.predict(scaled[test]) == labels[test]).sum()
        votes = labels[nearest(scaled, train, test, 5)]
        most = np.array([np.bincount(row).argmax() for row in votes])
        right_knn += (most == labels[test]).sum()
    assert linear_probe(features, labels, seed=7) == pytest.approx(right_linear / 60)
    assert nearest_neighbours(features, labels, seed=7) == pytest.approx(right_knn / 60)
    assert 0.4 < right_knn / 60 < 1


def test_numbers_are_scored_by_what_is_left_unexplained():
    features, _ = case()
    numbers = features[:, 0] * 2 + np.random.default_rng(1).normal(size=60)
    linear, knn = np.zeros(60), np.zeros(60)
    for train, test, scaled in folds_of(features, KFold(5, shuffle=True, random_state=7).split(features)):
        design, at = scaled[train], numbers[train].mean()
        weights = np.linalg.solve(design.T @ design + np.eye(6), design.T @ (numbers[train] - at))
        linear[test] = at + scaled[test] @ weights
        knn[test] = numbers[nearest(scaled, train, test, 5)].mean(1)
    for found, predictions in (
        (linear_probe(features, numbers, seed=7), linear),
        (nearest_neighbours(features, numbers, seed=7), knn),
    ):
        expected = 1 - ((numbers - predictions) ** 2).sum() / ((numbers - numbers.mean()) ** 2).sum()
        assert found == pytest.approx(expected, abs=1e-9)


def test_several_labels_are_scored_by_their_mean_average_precision():
    features, labels = case(apart=3)
    several = np.eye(3)[labels]
    assert linear_probe(features, several) > 0.9
    assert linear_probe(np.random.default_rng(0).normal(size=(60, 6)), several) < 0.6


def test_few_rows_have_fewer_neighbours():
    features, labels = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]]), np.array([0, 0, 0, 1, 1, 1])
    assert nearest_neighbours(features, labels, folds=3, n_neighbors=50) <= 0.5  # four neighbours, two of each class
    assert nearest_neighbours(features, labels, folds=3, n_neighbors=1) == 1


def test_all_scores_are_those_that_suit_the_targets():
    features, labels = case()
    source = labels // 2
    found = scores(features, labels, source)
    assert found == {
        "logme": logme(features, labels),
        "linear": linear_probe(features, labels),
        "knn": nearest_neighbours(features, labels),
        "h_score": h_score(features, labels),
        "nce": nce(source, labels),
    }
    assert scores(features, labels)["nce"] is None
    assert scores(features, features[:, 0], source)["h_score"] is None


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.where(np.eye(60, 6), np.nan, 1.0), "the features of 6 of 60 rows are not finite"),
        (np.ones((60, 6)), "all rows have the same features"),
    ],
)
def test_features_that_say_nothing_are_refused(features, said):
    with pytest.raises(BadInput, match=said):
        scores(features, case()[1])


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (np.arange(4) % 2, "--rows: 4 rows are fewer than the 5 folds"),
        (np.zeros(20, int), "all rows are of one class"),
        (np.arange(20), "no class has 5 rows"),
        (np.ones((20, 2)), "all rows have the same targets"),
        (np.full(20, 2.5), "all rows have the same targets"),
    ],
)
def test_targets_that_nothing_can_be_said_about_are_refused(targets, said):
    with pytest.raises(BadInput, match=said):
        checked_targets(targets)


def test_what_is_left_out_of_the_targets_is_told():
    classes = np.array([0] * 10 + [2] * 3)
    kept, notes = checked_targets(classes, ("a", "b", "c"))
    assert (kept == classes).all()
    assert notes == ["classes with fewer rows than the 5 folds, which some folds do not learn: c (3)"]
    labels = np.stack([np.arange(10) % 2, np.ones(10)], 1)
    kept, notes = checked_targets(labels, ("a", "b"))
    assert kept.shape == (10, 1)
    assert notes == ["targets that are the same in all rows are left out: b"]
    kept, notes = checked_targets(np.arange(10.0) + 50)
    assert (kept.mean(), kept.std(), notes) == (pytest.approx(0), pytest.approx(1), [])
