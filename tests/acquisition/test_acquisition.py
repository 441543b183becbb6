"""The acquisition functions against their definitions: margin, entropy, greedy k-centre, and k-means++ on gradients (BADGE)."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from hfft.acquisition.badge import GradientEmbeddings, badge
from hfft.acquisition.choose import WAYS, choose
from hfft.acquisition.core_set import core_set
from hfft.acquisition.uncertainty import entropies, margins


def drawn(rows=40, classes=4, width=6, seed=0):
    draw = np.random.default_rng(seed)
    return draw.dirichlet(np.full(classes, 0.5), rows), draw.normal(size=(rows, width))


def test_margins_and_entropies():
    p, _ = drawn()
    p[0] = [0, 1, 0, 0]
    p[1] = [0.4, 0.2, 0.4, 0]
    ordered = np.sort(p, 1)
    np.testing.assert_allclose(margins(p), ordered[:, -1] - ordered[:, -2], atol=1e-15)
    np.testing.assert_allclose(entropies(p), entropy(p, axis=1), atol=1e-12)
    assert choose("margin", 1, p, p, p).rows.tolist() == [1]
    assert choose("entropy", 40, p, p, p).rows[-1] == 0


def greedy_k_centre(x, labelled, n):
    """Sener and Savarese 2018, algorithm 1: argmax over rows of the least distance to a centre, one after the other."""
    centres, chosen = [*labelled], []
    for _ in range(n):
        chosen.append(int(cdist(x, np.stack(centres)).min(1).argmax()))
        centres.append(x[chosen[-1]])
    return chosen


@pytest.mark.parametrize("labelled", [1, 5, 300])
def test_the_core_set_is_greedy_k_centre(labelled):
    _, x = drawn()
    centres = np.random.default_rng(9).normal(size=(labelled, 6))
    rows, radius = core_set(x, centres, 12)
    assert rows.tolist() == greedy_k_centre(x, centres, 12)
    assert radius[0] == pytest.approx(cdist(x, centres).min(1).max(), abs=1e-9)
    assert (np.diff(radius) <= 1e-9).all()


def test_a_core_set_without_labelled_rows_begins_at_the_mean_and_ends_with_all_rows():
    _, x = drawn()
    rows, radius = core_set(x, np.empty((0, 0)), 40)
    assert rows[0] == ((x - x.mean(0)) ** 2).sum(1).argmin()
    assert radius[0] == np.inf
    assert rows[1:].tolist() == greedy_k_centre(x, x[rows[:1]], 39)
    assert sorted(rows) == list(range(40))


def test_a_gradient_embedding_is_the_gradient_of_the_last_layer():
    _, x = drawn()
    layer = torch.nn.Linear(6, 4, bias=False, dtype=torch.float64)
    found = []
    for features in torch.from_numpy(x):
        logits = layer(features)
        layer.weight.grad = None
        torch.nn.functional.cross_entropy(logits[None], logits.argmax()[None]).backward()
        found.append(layer.weight.grad.flatten().numpy().copy())
    found = np.stack(found)
    probabilities = layer(torch.from_numpy(x)).softmax(1).detach().numpy()
    mine = GradientEmbeddings(probabilities, x)
    np.testing.assert_allclose(np.sqrt(mine.squares), np.linalg.norm(found, axis=1), atol=1e-9)
    for row in (0, 17):
        np.testing.assert_allclose(
            mine.squared_distances(row), cdist(found, found[[row]], "sqeuclidean")[:, 0], atol=1e-9
        )


def test_badge_is_k_means_plus_plus_on_these_gradients():
    p, x = drawn()
    errors = p - np.eye(4)[p.argmax(1)]
    g = (errors[:, :, None] * x[:, None]).reshape(len(x), -1)
    rows, lengths = badge(p, x, 8, seed=3)
    assert rows[0] == np.linalg.norm(g, axis=1).argmax()
    np.testing.assert_allclose(lengths, np.linalg.norm(g[rows], axis=1), atol=1e-9)
    rng = np.random.default_rng((3, 15))  # the same draws over squared distances computed from the whole gradients
    for i in range(1, 8):
        weights = cdist(g, g[rows[:i]], "sqeuclidean").min(1)
        weights[rows[:i]] = 0
        assert rows[i] == rng.choice(40, p=weights / weights.sum())


def test_equal_rows_are_chosen_once_each_too():
    p, x = np.full((6, 2), 0.5), np.ones((6, 3))
    for by in WAYS:
        assert sorted(choose(by, 6, p, x, np.ones((2, 3)), 0).rows) == list(range(6)), by


@pytest.mark.parametrize("by", WAYS)
def test_rows_are_different_and_the_same_again(by):
    p, x = drawn()
    first, again = (choose(by, 10, p, x, x[:3], 5) for _ in range(2))
    assert len(set(first.rows)) == 10
    assert first.rows.tolist() == again.rows.tolist()
    assert (first.scores is None) == (by == "random")
    other = choose(by, 10, p, x, x[:3], 6).rows.tolist()
    assert (other != first.rows.tolist()) == (by in ("badge", "random"))
