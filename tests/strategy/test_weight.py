"""The weight of a term: constant, a ramp, or one that follows the gap between validation and training loss."""

import math

import pytest

from hfft.errors import BadInput
from hfft.recipe.find import load_recipe
from hfft.strategy.at import At
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.weight import ByGap, Ramp, Weight, is_zero, ramp
from tests.examples import SINGLE
from tests.strategy.cases import Case, trainer_of
from tests.training import methods_of


def at(share):
    return At(step=0, epoch=0, share=share, seed=1)


def test_a_number_is_the_same_in_every_step():
    assert [Weight(0.3)(at(share)) for share in (0, 0.5, 1)] == [0.3] * 3
    assert Weight(0.3).constant


# done -> value of a ramp from 1 to 3 over half of the run, by hand
RAMPS = {
    "linear": {0: 1, 0.125: 1.5, 0.25: 2, 0.5: 3, 1: 3},
    "cosine": {0: 1, 0.125: 1 + 2 * (1 - math.sqrt(0.5)) / 2, 0.25: 2, 0.5: 3, 1: 3},
    "sigmoid": {0: 1, 0.125: 1 + 2 * (0.0474259 - 0.0024726) / 0.9950548, 0.25: 2, 0.5: 3, 1: 3},
}


@pytest.mark.parametrize("shape", RAMPS)
def test_a_ramp_goes_from_its_start_to_its_end(shape):
    spec = Ramp(start=1, end=3, over=0.5, shape=shape)
    assert {share: Weight(spec)(at(share)) for share in RAMPS[shape]} == pytest.approx(RAMPS[shape], abs=1e-6)
    assert ramp(Ramp(start=2, end=0, shape=shape), 0.5) == pytest.approx(1.0)


@pytest.mark.parametrize(("spec", "zero"), [(0, True), (0.0, True), (Ramp(end=0), True), (Ramp(end=1), False)])
def test_zero_is_absent(spec, zero):
    assert is_zero(spec) == zero
    assert (methods_of(r_drop={"weight": spec}) == []) == zero


def test_a_weight_follows_the_gap_within_its_limits():
    weight = Weight(ByGap(adapt="gap", factor=2.0, low=0.05, high=0.5), default=0.1)
    seen = []
    for gap in (0.1, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1, 0.0, -0.1):
        weight.follow(gap)
        seen.append(weight(at(0)))
    assert seen == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5, 0.25, 0.125, 0.0625, 0.05, 0.05])
    again = Weight(ByGap(adapt="gap", factor=2.0, low=0.05, high=0.5), default=0.1)
    again.load(weight.state())
    assert (again.current, again.gap) == (weight.current, weight.gap)
    limits = Weight(ByGap(adapt="gap"), default=0.1)
    assert (limits.low, limits.high) == pytest.approx((0.01, 1.0))


def test_a_weight_by_the_gap_needs_evaluations():
    methods = methods_of(l2_sp={"weight": {"adapt": "gap"}})
    assert refusals(methods, Situation(SINGLE)) == []
    [(key, why)] = refusals(methods, Situation(SINGLE, evaluates=False))
    assert key == "l2_sp"
    assert "eval_strategy" in why


@pytest.mark.slow
def test_it_is_logged_at_every_evaluation_and_uses_the_task_loss_alone(tmp_path):
    case = Case({"l2_sp": {"weight": {"adapt": "gap", "start": 0.3}}}, settings={"logging_steps": 1})
    trainer = trainer_of(case, tmp_path, rows=24, eval_strategy="steps", eval_steps=2, num_train_epochs=2)
    gaps, follow = [], trainer.methods[0].weight.follow
    trainer.methods[0].weight.follow = lambda gap: (gaps.append(gap), follow(gap))
    trainer.train()
    logs = trainer.state.log_history
    losses = [entry["loss"] - entry["l2_sp"] for entry in logs if "loss" in entry]
    validated = [entry["eval_loss"] for entry in logs if "eval_loss" in entry]
    expected = [validated[i] - sum(losses[2 * i : 2 * i + 2]) / 2 for i in range(3)]
    assert gaps == pytest.approx(expected, abs=1e-5)
    told = [entry["l2_sp_weight"] for entry in logs if "l2_sp_weight" in entry and "loss" not in entry]
    assert len(told) == len(validated)
    assert told[0] == 0.3
    assert told[1] == pytest.approx(0.3 * 1.5 if gaps[1] > gaps[0] else 0.3 / 1.5)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (-1, "-1"),
        ("much", "'much'"),
        ({"end": 1, "over": 0}, "over"),
        ({"adapt": "loss"}, "gap"),
        ({"end": 1, "form": "linear"}, "form"),
        ({"adapt": "gap", "low": 2, "high": 1}, "above high"),
    ],
)
def test_bad_weights_are_refused_in_one_line(weight, words):
    recipe = {"task": "text-classification", "backbone": {"name": "x"}, "data": {"path": "y"}}
    with pytest.raises(BadInput) as refused:
        load_recipe({**recipe, "strategy": {"l2_sp": {"weight": weight}}})
    [line] = [line for line in str(refused.value).splitlines() if "strategy" in line]
    assert words in line
