"""N-way K-shot episodes on given features: accuracies against scikit-learn, the interval, and what makes no episode."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from hfft.errors import BadInput
from hfft.evaluate.episodes import EpisodeSettings, episode_accuracies, mean_and_interval, usable_classes


def blobs(classes=6, each=30, spread=1.0, seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.repeat(np.arange(classes), each))
    return draw.normal(size=(classes, 8))[labels] + spread * draw.normal(size=(len(labels), 8)), labels


def test_an_episode_is_scored_as_by_the_nearest_centroid_of_its_shots():
    features, labels = blobs()
    settings = EpisodeSettings(20, ways=3, shots=4, queries=7)
    found = episode_accuracies(features, labels, np.arange(6), settings, 42)
    rng = np.random.default_rng((42, 14))  # the same draws
    for accuracy in found:
        ways = rng.permutation(6)[:3]
        rows = [rng.permutation(np.flatnonzero(labels == way))[:11] for way in ways]
        shots, queries = np.concatenate([r[:4] for r in rows]), np.concatenate([r[4:] for r in rows])
        fitted = NearestCentroid().fit(features[shots], labels[shots])
        assert accuracy == pytest.approx(fitted.score(features[queries], labels[queries]), abs=1e-12)


def test_shots_help_and_features_without_classes_are_at_chance():
    features, labels = blobs(spread=2.0)
    mean = {
        k: episode_accuracies(features, labels, np.arange(6), EpisodeSettings(200, 5, k), 0).mean() for k in (1, 5, 15)
    }
    assert 0.25 < mean[1] < mean[5] < mean[15]
    noise = np.random.default_rng(3).permutation(labels)
    accuracy, interval = mean_and_interval(
        episode_accuracies(features, noise, np.arange(6), EpisodeSettings(300, 5, 5), 0)
    )
    assert abs(accuracy - 0.2) < 0.05
    assert interval < 0.02


def test_only_usable_classes_are_drawn_and_the_draws_depend_on_the_seed():
    features, labels = blobs()
    features[labels == 5] = np.nan  # would be seen in a mean
    settings = EpisodeSettings(50, ways=4, shots=2, queries=5)
    one, again, other = (episode_accuracies(features, labels, np.arange(5), settings, seed) for seed in (1, 1, 2))
    assert np.isfinite(one).all()
    assert one.tolist() == again.tolist() != other.tolist()


def test_the_interval_is_that_of_a_mean():
    values = np.array([0.5, 0.7, 0.6, 0.8])
    mean, interval = mean_and_interval(values)
    assert mean == pytest.approx(0.65)
    assert interval == pytest.approx(1.959964 * np.std(values, ddof=1) / 2, abs=1e-6)


def test_classes_with_too_few_rows_are_told_and_too_few_classes_refused():
    labels = np.repeat([0, 1, 2], [20, 19, 25])
    enough, line = usable_classes(labels, ("a", "b", "c"), EpisodeSettings(ways=2))
    assert enough.tolist() == [0, 2]
    assert line == "in no episode, with fewer than 20 rows: 'b' (19)"
    assert usable_classes(labels, ("a", "b", "c"), EpisodeSettings(ways=2, queries=9))[1] is None
    with pytest.raises(
        BadInput, match=r"--ways 3: an episode takes 20 rows of each class, and 2 of 3 classes have as many"
    ):
        usable_classes(labels, ("a", "b", "c"), EpisodeSettings(ways=3))


@pytest.mark.parametrize(("name", "value"), [("episodes", 1), ("ways", 1), ("shots", 0), ("queries", 0)])
def test_settings_that_are_no_episode_are_refused(name, value):
    EpisodeSettings(**{name: value + 1}).check()
    with pytest.raises(BadInput, match=f"--{name} {value}: must be at least {value + 1}"):
        EpisodeSettings(**{name: value}).check()
