"""Hints: the equation without padding, which blocks are matched, and what cannot be matched."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.distil.hints import block_at, hints, positions
from hfft.strategy.needs import Situation, refusals, uncacheable
from hfft.train.inspector import TrainingInspector
from tests.examples import SINGLE, tiny
from tests.strategy.cases import CASES, Answering, Case, trainer_of
from tests.training import methods_of


def test_it_is_the_equation_and_padding_does_not_count():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    expected = [((student[0] - teacher[0]) ** 2).mean(), ((student[1, :2] - teacher[1, :2]) ** 2).mean()]
    found = hints(*(torch.from_numpy(x) for x in (student, teacher)), torch.from_numpy(mask).double())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(("share", "of"), [(1.0, [2, 3, 12]), (0.5, [1, 2, 6]), (0.01, [1, 1, 1])])
def test_blocks_are_at_the_same_share_of_the_depth(share, of):
    assert [block_at(share, blocks) for blocks in (2, 3, 12)] == of


def test_feature_maps_are_averaged_to_the_smaller_size():
    left, right = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)
    found = positions(left, right)
    assert [tuple(states.shape) for states in found] == [(2, 4, 3), (2, 4, 5)]
    torch.testing.assert_close(found[0][:, 0], left[:, :, :2, :2].mean((2, 3)))
    torch.testing.assert_close(found[1][1, 3], right[1, :, 1, 1])


def method_of(trainer):
    return next(method for method in trainer.methods if method.name == "hints")


def test_widths_that_differ_are_mapped_and_equal_ones_are_not(tmp_path):
    wide = method_of(trainer_of(CASES["hints"], tmp_path))
    assert wide.matched == {2: 1, 3: 2}  # of 3 blocks and 2
    assert {name: tuple(p.shape) for name, p in wide.modules().named_parameters()} == {
        "2.weight": (24, 16),
        "2.bias": (24,),
        "3.weight": (24, 16),
        "3.bias": (24,),
    }
    same = method_of(trainer_of(Case({"hints": {"teacher": "teacher", "depths": [1.0]}}), tmp_path))
    assert same.modules() is None
    assert same.states == (3,)


@pytest.mark.slow
def test_the_linear_layers_learn_and_the_states_come_nearer(tmp_path):
    case = Case({"hints": {"teacher": "wide", "weight": 1.0}}, model="vit")
    trainer = trainer_of(case, tmp_path, num_train_epochs=12, optim="adamw_torch", learning_rate=0.01)
    before = {name: p.detach().clone() for name, p in method_of(trainer).modules().named_parameters()}
    trainer.train()
    assert all(not torch.equal(before[name], p) for name, p in method_of(trainer).modules().named_parameters())
    logged = [entry["hints"] for entry in trainer.state.log_history if "hints" in entry]
    assert logged[-1] < 0.7 * logged[0]


@pytest.mark.slow
def test_the_logged_value_is_that_of_both_models_states(tmp_path):
    case = Case({"hints": {"teacher": "teacher", "depths": [0.5, 1.0], "weight": 2.0}}, model="vit")
    trainer = trainer_of(case, tmp_path, learning_rate=0.0, num_train_epochs=1, rows=8)
    rows = torch.stack([row["pixel_values"] for row in trainer.train_dataset]).double()
    trainer.train()
    teacher, expected = tiny("vit", seed=1).double(), 0.0
    for depth in (2, 3):
        seen = []
        for model in (trainer.model, teacher):
            handle = (
                TrainingInspector(None, None, 0)
                .blocks_of(model)[depth - 1]
                .register_forward_hook(lambda m, i, output, seen=seen: seen.append(output))
            )
            with torch.no_grad():
                model.eval()(pixel_values=rows)
            handle.remove()
        expected += 2 * float((seen[0] - seen[1]).square().mean())
    [logged] = [entry["hints"] for entry in trainer.state.log_history if "hints" in entry]
    assert logged == pytest.approx(expected, rel=1e-5)


def test_other_positions_are_refused(tmp_path, monkeypatch):
    other = tiny("vit", patch_size=16).double()
    monkeypatch.setattr("tests.strategy.cases.Answering", lambda model: Answering(other))
    with pytest.raises(
        BadInput, match=r"strategy\.hints\.teacher: block 2 of the teacher has 5 positions, block 2 of the model 17"
    ):
        trainer_of(Case({"hints": "teacher"}, model="vit"), tmp_path)


def test_nothing_is_cached_and_sharded_weights_are_refused():
    methods = methods_of(hints="x")
    assert "reads the outputs of blocks" in uncacheable(methods)
    [(key, why)] = refusals(methods, Situation(SINGLE, divided=True))
    assert (key, "FSDP" in why) == ("hints", True)
