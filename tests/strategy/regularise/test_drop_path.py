"""Drop path: its equation, that it is unbiased, where it acts, and the models that it refuses."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.method import At, Batch
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.regularise.drop_path import drop_path, rates
from tests import examples, training
from tests.examples import SINGLE
from tests.strategy.cases import Case, trainer_of


def test_it_is_the_equation():
    draw = np.random.default_rng(0)
    before, after, draws = (
        draw.normal(size=(5, 4, 3)),
        draw.normal(size=(5, 4, 3)),
        np.array([0.0, 0.29, 0.3, 0.9, 0.5]),
    )
    expected = before + (draws >= 0.3)[:, None, None] * (after - before) / 0.7
    found = drop_path(*map(torch.from_numpy, (before, after, draws)), 0.3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert torch.equal(found[:2], torch.from_numpy(before)[:2]), "skipped rows are passed on"


def test_its_mean_over_draws_is_the_block():
    before, after = torch.randn(1, 3).double(), torch.randn(1, 3).double()
    found = drop_path(before.expand(20_000, 3), after.expand(20_000, 3), torch.rand(20_000), 0.4)
    torch.testing.assert_close(found.mean(0, keepdim=True), after, atol=0.05, rtol=0)


def test_the_rate_falls_evenly_to_nothing_at_the_first_block():
    assert rates(0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert rates(0.3, 1) == [0.3]


def started(folder, rate=0.5, model="vit", **changes):
    trainer = trainer_of(Case({"drop_path": rate}, model=model), folder, **changes)
    [method] = trainer.methods
    method.start(trainer.setting)
    return trainer.model.train(), method, trainer.setting.inspector.sample()


def batch(parts=1, rows=(0, 1), epoch=0):
    rows = np.array(rows)
    names = ["task", *(f"part {k}" for k in range(1, parts))]
    return Batch({}, names, torch.zeros(len(rows)), [], rows, len(rows), At(3, epoch, 0.0, 1))


def test_a_skipped_block_has_no_part_in_the_outputs(tmp_path):
    model, method, sample = started(tmp_path, rate=1 - 1e-9)
    with method.around(model, batch()):
        outputs = model(**sample).logits
        outputs.sum().backward()
    *_, last = method.inspector.blocks_of(model)
    assert all((p.grad == 0).all() for p in last.parameters()), "the last block is skipped all but surely"
    assert any((p.grad != 0).any() for p in method.inspector.blocks_of(model)[0].parameters()), "the first one never"
    assert all(not m._forward_hooks for m in model.modules()), "nothing is left behind"
    plain = model.eval()(**sample).logits
    with method.around(model, batch()):
        assert torch.equal(model(**sample).logits, plain), "in evaluation it does nothing"


def test_what_a_row_skips_depends_on_its_number_and_the_epoch_and_differs_between_parts(tmp_path):
    model, method, sample = started(tmp_path)
    pixels = sample["pixel_values"][:1]

    def outputs(rows, parts=1, epoch=0):
        with method.around(model, batch(parts, rows, epoch)), torch.no_grad():
            return model(pixel_values=pixels.repeat(len(rows) * parts, 1, 1, 1)).logits

    rows = list(range(12))
    found = outputs(rows)
    torch.testing.assert_close(found[[7, 3]], outputs([7, 3]))
    assert len(torch.unique(found.round(decimals=6), dim=0)) == 4, "of three blocks two are skipped or not"
    assert not torch.allclose(found, outputs(rows, epoch=1))
    both = outputs(rows, parts=2)
    torch.testing.assert_close(both[:12], found)
    assert not torch.allclose(both[12:], found)


def test_a_frozen_block_always_runs(tmp_path):
    model, method, sample = started(tmp_path, rate=1 - 1e-9)
    for block in method.inspector.blocks_of(model):
        block.requires_grad_(False)
    with method.around(model, batch()):
        inside = model(**sample).logits
    assert torch.equal(inside, model(**sample).logits)


@pytest.mark.slow
def test_a_last_block_that_computes_the_first_token_alone_is_skipped_as_a_whole_one(tmp_path):
    from hfft.train.last_block import LastBlock

    ends = []
    for name, last_block in (("whole", None), ("short", LastBlock())):
        trainer = trainer_of(Case({"drop_path": 0.5}, model="vit"), tmp_path / name, last_block=last_block)
        trainer.train()
        ends.append({key: p.detach() for key, p in trainer.model.named_parameters()})
    assert trainer.last_block.found is not None
    assert training.difference(*ends) < 1e-9


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("swin", r"a swin has drop path of its own; set backbone.config=\{drop_path_rate: 0.5\} instead"),
        ("resnet", r"block \d of \d returns another shape than it reads, so no row can skip it; leave it out"),
    ],
)
def test_models_that_cannot_skip_are_refused(model, why, tmp_path):
    with pytest.raises(BadInput, match=f"strategy.drop_path: {why}"):
        started(tmp_path, model=model)


def test_texts_are_refused_before_anything_is_loaded():
    methods = training.methods_of(drop_path=0.1)
    found = refusals(methods, Situation(SINGLE, continuous=False))
    assert found == [("drop_path", "is for images, but the rows are texts; leave it out")]
    assert refusals(methods, Situation(SINGLE, continuous=True, tokens=False, modality="image")) == []
    assert "swin" in examples.ALL
