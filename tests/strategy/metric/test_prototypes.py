"""Episodes of a few classes and rows, the loss of their queries, and the head of class means (Snell et al. 2017)."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from hfft.errors import BadInput, DataError
from hfft.strategy.method import At
from hfft.strategy.metric.fitted_head import class_means, squared_distances
from hfft.strategy.metric.prototypes import episode_loss, prototype_head, support
from tests.strategy.cases import CASES, Case, trainer_of

AT = At(3, 1, 0.5, 42)


def test_the_loss_is_that_of_the_paper():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(10, 3)), np.array([7, 7, 7, 2, 2, 2, 2, 7, 2, 7])
    shots = np.array([1, 0, 1, 1, 1, 0, 0, 0, 0, 0], bool)
    losses = []
    for i in np.flatnonzero(~shots):  # algorithm 1: d(f(x), c_k) + log sum_k' exp(-d(f(x), c_k'))
        d = {k: ((x[i] - x[shots & (y == k)].mean(0)) ** 2).sum() for k in (2, 7)}
        losses.append(d[y[i]] + np.log(sum(np.exp(-v) for v in d.values())))
    found = episode_loss(*map(torch.from_numpy, (x, y, shots)))
    assert float(found) == pytest.approx(np.mean(losses), abs=1e-12)


def test_the_same_rows_are_shots_in_any_order():
    labels, rows = np.array([0, 1, 0, 1, 0, 1]), np.array([9, 4, 30, 2, 11, 8])
    chosen = support(labels, rows, 2, AT)
    assert np.bincount(labels[chosen]).tolist() == [2, 2]
    turned = np.array([4, 0, 3, 5, 1, 2])
    assert support(labels[turned], rows[turned], 2, AT).tolist() == chosen[turned].tolist()
    others = [support(labels, rows, 2, At(3, epoch, 0.5, 42)).tolist() for epoch in range(2, 8)]
    assert chosen.tolist() not in others or len(set(map(tuple, others))) > 1


def test_the_head_of_class_means_is_the_nearest_centroid():
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(40, 6)), np.arange(40) % 4
    means = class_means(torch.from_numpy(x), torch.from_numpy(y), 4)
    np.testing.assert_allclose(means, [x[y == k].mean(0) for k in range(4)], atol=1e-12)
    weight, bias = prototype_head(means)
    points = torch.from_numpy(draw.normal(size=(30, 6)))
    logits = points @ weight.T + bias
    assert logits.argmax(1).tolist() == NearestCentroid().fit(x, y).predict(points.numpy()).tolist()
    expected = (-squared_distances(points, means)).softmax(1)
    torch.testing.assert_close(logits.softmax(1), expected, atol=1e-12, rtol=0)


def test_each_step_is_an_episode(tmp_path):
    trainer = trainer_of(CASES["prototypes"], tmp_path)
    [method] = trainer.methods
    orders = [method.order(epoch, seed) for epoch, seed in ((0, 42), (1, 42), (0, 43), (0, 42))]
    assert orders[0].tolist() == orders[3].tolist()
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        assert len(order) == 16
        for rows in order.reshape(2, 8):
            assert len(set(rows)) == 8
            assert sorted(np.unique(method.class_ids[rows], return_counts=True)[1]) == [4, 4]


def test_what_is_scored_is_the_nearest_mean(tmp_path):
    trainer = trainer_of(CASES["prototypes"], tmp_path)
    trainer.train()
    with trainer.scored():
        found = trainer.setting.inspector.outputs_of(trainer.model)
    x, y = found.features.double(), found.labels
    distances = squared_distances(x, class_means(x, y, 3))
    torch.testing.assert_close(found.logits.softmax(1).double(), (-distances).softmax(1), atol=1e-6, rtol=0)


def test_a_class_with_too_few_rows_is_in_no_episode_and_it_is_said(tmp_path, capsys):
    trainer = trainer_of(CASES["prototypes"], tmp_path)
    said = capsys.readouterr().out
    assert "strategy.prototypes: no episode has class" in said
    assert "(3 rows), since it takes 4 rows of each" in said
    [method] = trainer.methods
    assert method.classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("options", "rows", "error", "said"),
    [
        (
            {"ways": 3, "shots": 1},
            20,
            BadInput,
            "a step of 8 rows is no episode of 3 ways .* at least 6 as training.per_d",
        ),
        ({"ways": 2, "shots": 4}, 20, BadInput, "a step of 8 rows is no episode of 2 ways with 4 shots .* at least 10"),
        ({"ways": 2, "shots": 1}, 9, DataError, "takes 4 rows of 2 classes, but only 1 classes of train have as many"),
    ],
)
def test_what_makes_no_episode_is_refused(options, rows, error, said, tmp_path):
    with pytest.raises(error, match=f"strategy.prototypes: .*{said}"):
        trainer_of(Case({"prototypes": options}), tmp_path, rows=rows)
