"""The curriculum: rows are scored once, easy ones come first, and a resumed run continues with the same order."""

import numpy as np
import pytest
import torch

from hfft.strategy.needs import Situation, refusals
from hfft.strategy.sample.curriculum import class_mean_loss, easy_order, used_share
from tests.examples import REGRESSION, SINGLE
from tests.strategy.cases import Case, trainer_of
from tests.training import methods_of


def test_difficulty_is_the_cross_entropy_of_gaussians_around_the_class_means():
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 2, 2, 4, 4, 4, 4])  # classes 1 and 3 have no rows
    x = rng.normal(size=(9, 5)) + labels[:, None]
    means = {c: x[labels == c].mean(0) for c in (0, 2, 4)}
    variance = np.mean([(row - means[c]) ** 2 for row, c in zip(x, labels, strict=True)])
    expected = []
    for row, c in zip(x, labels, strict=True):
        density = {k: np.exp(-((row - m) ** 2).sum() / (2 * variance)) for k, m in means.items()}
        expected.append(np.log1p(sum(density[k] for k in means if k != c) / density[c]))
    found = class_mean_loss(torch.from_numpy(x), torch.from_numpy(labels))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(("done", "share"), [(0, 0.2), (0.25, 0.6), (0.5, 1.0), (0.9, 1.0)])
def test_the_share_grows_linearly(done, share):
    assert used_share(done, 0.5, 0.2) == pytest.approx(share)


def test_the_easiest_of_each_class_are_used_in_turn():
    class_ids = np.repeat([0, 1], [10, 4])
    losses = np.concatenate([np.arange(10.0), 100 + np.arange(4.0)[::-1]])
    found = easy_order(losses, class_ids, 0.5, np.random.default_rng(0))
    assert set(found) == {0, 1, 2, 3, 4, 12, 13}
    assert np.bincount(found)[list(set(found))].tolist() == [2] * 7
    assert len(found) == 14
    assert sorted(easy_order(losses, class_ids, 1.0, np.random.default_rng(0))) == list(range(14))


@pytest.mark.parametrize("by", ["features", "loss"])
def test_rows_are_scored_once_and_every_epoch_is_as_long(by, tmp_path):
    case = Case({"curriculum": {"over": 1.0, "by": by}})
    trainer = trainer_of(case, tmp_path, num_train_epochs=3)
    order, asked, outputs_of = trainer.order.method, [], trainer.outputs_of
    trainer.outputs_of = lambda *args, **kwargs: asked.append(args) or outputs_of(*args, **kwargs)
    trainer.train()
    assert asked == [("train",)]
    used = [order.order(epoch, 0) for epoch in (0, 1, 2, 3)]
    assert [len(rows) for rows in used] == [20] * 4
    assert len(set(used[0])) < len(set(used[1])) < len(set(used[2])) < len(set(used[3])) == 20
    losses, ids = order.row_losses.numpy(), order.class_ids
    for c in np.unique(ids):
        seen = np.isin(np.arange(20), used[0])
        assert losses[(ids == c) & seen].max() <= losses[(ids == c) & ~seen].min()


def test_the_number_of_epochs_is_that_of_the_run(tmp_path):
    case = Case({"curriculum": 0.5})
    for changes, expected in (({"num_train_epochs": 2.5}, 3), ({"max_steps": 6}, 2), ({"max_steps": 7}, 3)):
        assert trainer_of(case, tmp_path, **changes).setting.epochs == expected


def test_it_needs_classes_and_counted_rows():
    methods = methods_of(curriculum=0.5)
    [(key, why)] = refusals(methods, Situation(REGRESSION))
    assert (key, "needs classes" in why) == ("curriculum", True)
    [(key, why)] = refusals(methods, Situation(SINGLE, streaming=True))
    assert "data.streaming=false" in why
    [(key, why)] = refusals(methods_of(curriculum=0.5, balanced=0), Situation(SINGLE))
    assert why == "sets the order of rows, as balanced does; leave one of them out"
