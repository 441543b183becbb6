"""Mixup and CutMix in one run: each row is mixed by one of them, its partner is read once, and both end when they should."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.method import At, Batch, Target
from hfft.strategy.mix.mixup import averaged_targets
from hfft.strategy.needs import Situation, refusals
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI, REGRESSION, SINGLE
from tests.training import methods_of

ROWS = 400


def started(rows=ROWS, problem=SINGLE, **strategy):
    methods = methods_of(**strategy)
    setting = SimpleNamespace(rows=rows, problem=PROBLEMS[problem], methods=methods)
    for method in methods:
        method.start(setting)
    return methods


def mixed(methods, epoch=0, rows=ROWS):
    """A batch of black images whose partners are white, after the hooks, and what was read for it."""
    labels, numbers = torch.arange(rows), np.arange(rows)
    beside = {}
    for method in methods:
        beside |= method.companions(numbers, epoch, 7)
    inputs = {"pixel_values": torch.cat([torch.zeros(rows, 1, 16, 16)] + [torch.ones(rows, 1, 16, 16)] * len(beside))}
    labelled = {name: torch.full((rows,), 9) for name in beside}
    batch = Batch(inputs, ["task", *beside], labels, [Target(labels)], numbers, rows, At(0, epoch, 0.0, 7), labelled)
    for method in methods:
        method.batch(batch)
    return batch, beside


def kinds(batch):
    """Which rows have one level between black and white, and which have both levels."""
    images = batch.inputs["pixel_values"].flatten(1)
    grey = ((images > 0) & (images < 1)).all(1)
    return grey.numpy(), ((images == 0) | (images == 1)).all(1).numpy()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_each_row_is_mixed_by_one_of_them(share):
    methods = started(mixup=1.0, cutmix={"switch_prob": share})
    batch, read = mixed(methods)
    grey, pasted = kinds(batch)
    assert (grey ^ pasted).all()
    assert pasted.mean() == pytest.approx(share, abs=0.07)
    assert list(read) == ["mixup partner"], "partners are read once"
    assert batch.parts == ["task"]


def test_labels_count_by_what_is_seen_whoever_mixed():
    batch, _ = mixed(started(mixup=1.0, cutmix=1.0))
    white = batch.inputs["pixel_values"].mean((1, 2, 3))
    counted = sum(target.factor * (target.labels == 9) for target in batch.targets)
    counted = counted - (torch.arange(ROWS) == 9) * 1.0  # its own label is 9 too
    torch.testing.assert_close(counted[torch.arange(ROWS) != 9], white[torch.arange(ROWS) != 9])
    torch.testing.assert_close(sum(target.factor for target in batch.targets), torch.ones(ROWS))


def test_which_one_is_drawn_from_seed_epoch_and_row():
    methods = started(mixup=1.0, cutmix=1.0)
    whole, some = kinds(mixed(methods)[0])[1], kinds(mixed(methods, rows=50)[0])[1]
    assert (whole[:50] == some).all()
    assert 0.3 < (kinds(mixed(methods, epoch=1)[0])[1] == whole).mean() < 0.7


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_method_ends_with_its_epoch_and_reads_no_more(name):
    methods = started(**{name: {"until": 2}})
    before, after = mixed(methods, epoch=1), mixed(methods, epoch=2)
    assert len(before[0].targets) == 2
    assert len(after[0].targets) == 1
    assert after[1] == {}
    assert after[0].inputs["pixel_values"].abs().max() == 0


def test_the_one_that_goes_on_mixes_every_row():
    first, last = (mixed(started(mixup={"until": 1, "alpha": 1.0}, cutmix=1.0), epoch)[0] for epoch in (0, 1))
    assert kinds(first)[0].any()
    assert kinds(last)[1].all()


def test_a_probability_without_mixup_is_refused():
    with pytest.raises(BadInput, match=r"strategy\.cutmix\.switch_prob: is for runs with mixup"):
        started(cutmix={"switch_prob": 0.5})


def test_numbers_to_predict_are_averaged_and_classes_weighted():
    left, right, lam = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 0.0], [7.0, 1.0]]), [0.25, 1.0]
    lam = torch.tensor(lam)
    (target,) = averaged_targets(PROBLEMS[REGRESSION], [Target(left)], right, lam)
    assert target.labels.tolist() == [[4.0, 0.5], [3.0, 4.0]]
    assert target.factor is None
    assert len(averaged_targets(PROBLEMS[MULTI], [Target(left)], right, lam)) == 2


def test_averaged_numbers_have_the_gradient_of_both_weighted_losses():
    left, right, lam = torch.randn(5, 2), torch.randn(5, 2), torch.rand(5)
    output = torch.randn(5, 2, requires_grad=True)
    loss = PROBLEMS[REGRESSION].loss
    (target,) = averaged_targets(PROBLEMS[REGRESSION], [Target(left)], right, lam)
    both = lam * loss(output, left) + (1 - lam) * loss(output, right)
    (found,) = torch.autograd.grad(loss(output, target.labels).sum(), output)
    (expected,) = torch.autograd.grad(both.sum(), output)
    torch.testing.assert_close(found, expected)


def test_a_pasted_box_has_no_number():
    assert refusals(methods_of(mixup=0.2), Situation(REGRESSION)) == []
    [(key, why)] = refusals(methods_of(cutmix=1.0), Situation(REGRESSION))
    assert (key, "which regression does not have" in why) == ("cutmix", True)
