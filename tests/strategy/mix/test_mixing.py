"""Mixup and CutMix: their equations, their labels, and draws that know no split."""

import numpy as np
import pytest
import torch

from hfft.strategy.method import At, Batch, Target
from hfft.strategy.mix.cutmix import boxes, cutmix
from hfft.strategy.mix.mixup import mixup
from hfft.strategy.mix.pairs import mixed_targets, shares
from tests.training import methods_of


def batch_of(rows, epoch=0):
    labels = torch.arange(len(rows))
    return Batch({}, ["task"], labels, [Target(labels)], np.array(rows), len(rows), At(0, epoch, 0.0, 7))


def test_mixup_is_the_equation():
    left, right, lam = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4), torch.tensor([1.0, 0.0, 0.3])
    found = mixup(left, right, lam)
    assert torch.equal(found[0], left[0])
    assert torch.equal(found[1], right[1])
    torch.testing.assert_close(found[2], 0.3 * left[2] + 0.7 * right[2])


@pytest.mark.parametrize("lam", [0.0, 0.25, 0.5, 1.0])
def test_a_box_has_the_area_that_was_drawn_where_it_fits(lam):
    inside = boxes(np.array([lam]), np.array([[0.5, 0.5]]), 64, 64)
    assert inside.mean() == pytest.approx(1 - lam, abs=0.03)


def test_a_box_at_the_border_counts_by_what_is_left_of_it():
    inside = boxes(np.array([0.75]), np.array([[0.0, 0.0]]), 64, 64)
    assert inside.mean() == pytest.approx(0.25 / 4, abs=0.01)
    assert inside[0, 0, 0]
    assert not inside[0, 63, 63]


def test_cutmix_takes_the_box_and_leaves_the_rest():
    images, others = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    inside = torch.zeros(1, 8, 8, dtype=torch.bool)
    inside[0, 2:4, 1:5] = True
    found = cutmix(images, others, inside)
    assert found.sum() == 3 * 8
    assert found[0, 0, 3, 4] == 1
    assert found[0, 0, 4, 4] == 0


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_are_drawn_for_a_row_and_epoch_whatever_stands_beside_it(alpha):
    whole = shares(batch_of([3, 1, 2]), alpha, 1)
    assert shares(batch_of([2]), alpha, 1)[0] == whole[2]
    assert not np.isclose(shares(batch_of([3, 1, 2], epoch=1), alpha, 1), whole).any()
    assert not np.isclose(shares(batch_of([3, 1, 2]), alpha, 2), whole).any()


def test_partners_are_a_permutation_of_the_rows_that_changes_with_the_epoch():
    [method] = methods_of(mixup=0.2)
    method.size = 20
    pairs = [method.companions(np.arange(20), epoch, 0)[method.partner].rows for epoch in (0, 0, 1)]
    assert sorted(pairs[0]) == list(range(20))
    assert (pairs[0] == pairs[1]).all()
    assert (pairs[0] != pairs[2]).any()


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_is_mixed_with_its_partners_and_labels_count_by_what_is_seen(name):
    [method] = methods_of(**{name: 1.0})
    batch = batch_of([3, 1, 2, 0])
    batch.inputs = {"pixel_values": torch.cat([torch.zeros(4, 1, 16, 16), torch.ones(4, 1, 16, 16)])}
    batch.parts, batch.part_labels = ["task", method.partner], {method.partner: torch.full((4,), 9)}
    method.batch(batch)
    assert batch.parts == ["task"]
    own, partners = batch.targets
    assert (own.labels.tolist(), partners.labels.tolist()) == ([0, 1, 2, 3], [9] * 4)
    seen = batch.inputs["pixel_values"].mean((1, 2, 3))
    assert len(set(seen.tolist())) > 1
    torch.testing.assert_close(partners.factor, seen)
    torch.testing.assert_close(own.factor, 1 - seen)


def test_targets_are_shared_out_and_add_up_to_one():
    labels, others, lam = torch.tensor([0, 1]), torch.tensor([2, 2]), torch.tensor([0.25, 1.0])
    once = mixed_targets([Target(labels)], others, lam)
    twice = mixed_targets(once, labels, torch.tensor([0.5, 0.5]))
    assert [target.factor.tolist() for target in once] == [[0.25, 1.0], [0.75, 0.0]]
    torch.testing.assert_close(sum(target.factor for target in twice), torch.ones(2))
