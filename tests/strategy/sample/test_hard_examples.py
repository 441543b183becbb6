"""Hard examples again: every row once, the hardest twice, also after a resume within an epoch."""

import numpy as np
import pytest
import torch

from hfft.strategy.needs import Situation, refusals
from hfft.strategy.sample.hard_examples import hard_order
from tests.examples import SINGLE
from tests.strategy.cases import CASES, trainer_of
from tests.training import methods_of


@pytest.mark.parametrize(("share", "again"), [(0.25, [3, 1]), (0.3, [3, 1, 4]), (1.0, range(8))])
def test_the_rows_with_the_highest_loss_are_drawn_again(share, again):
    losses = np.array([0.1, 2.0, 0.0, 9.0, 1.5, 0.3, 0.2, 0.0])
    found = np.bincount(hard_order(losses, 8, share, np.random.default_rng(0)), minlength=8)
    assert found.tolist() == [2 if row in again else 1 for row in range(8)]


def test_without_losses_other_rows_are_drawn_in_each_epoch():
    drawn = [np.bincount(hard_order(None, 20, 0.2, np.random.default_rng((0, epoch)))) for epoch in range(2)]
    assert [counts.sum() for counts in drawn] == [24, 24]
    assert [counts.min() for counts in drawn] == [1, 1]
    assert (drawn[0] != drawn[1]).any()


def test_losses_are_those_of_the_model_when_the_epoch_begins(tmp_path):
    trainer = trainer_of(CASES["hard_examples"], tmp_path)
    [method] = [m for m in trainer.methods if m.name == "hard_examples"]
    seen = []
    original = method.epoch
    method.epoch = lambda model, outputs_of, at: (original(model, outputs_of, at), seen.append(method.row_losses))
    trainer.train()
    assert seen[0] is None  # `after` is 1
    assert seen[1].shape == (20,)
    counts = np.bincount(method.order(1, 0), minlength=20)
    assert seen[1].numpy()[counts == 2].min() >= seen[1].numpy()[counts == 1].max()
    assert counts.sum() == 24
    assert trainer.state.global_step == 2 * 3  # 24 rows in batches of 8


def test_a_restored_method_has_the_same_order():
    first, again = methods_of(hard_examples=0.5)[0], methods_of(hard_examples=0.5)[0]
    first.rows = again.rows = 6
    first.row_losses = torch.tensor([0.0, 5, 1, 2, 3, 4])
    again.load(first.state())
    assert (again.order(3, 1) == first.order(3, 1)).all()
    assert methods_of(hard_examples=0.5)[0].state() == {}


def test_a_stream_is_refused():
    [(key, why)] = refusals(methods_of(hard_examples=0.5), Situation(SINGLE, streaming=True))
    assert (key, "row numbers" in why) == ("hard_examples", True)


def test_a_run_that_ends_before_rows_are_chosen_by_their_loss_is_refused():
    [(key, why)] = refusals(methods_of(hard_examples={"after": 2}), Situation(SINGLE, epochs=2.0))
    assert key == "hard_examples"
    assert "begins after 2 epochs" in why
