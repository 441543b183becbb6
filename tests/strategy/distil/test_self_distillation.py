"""Self-distillation: the equation, the average as teacher, the start as teacher."""

import numpy as np
import pytest
import torch

from hfft.strategy.distil.self_distillation import consistency
from hfft.strategy.method import At
from hfft.strategy.needs import Situation, refusals, uncacheable
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI, REGRESSION, SINGLE
from tests.strategy.cases import CASES, Case, trainer_of
from tests.training import methods_of


def test_it_is_the_squared_distance_of_the_probabilities():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    softmax = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (left, right)]
    sigmoid = [1 / (1 + np.exp(-x)) for x in (left, right)]
    for problem, (p, q) in ((SINGLE, softmax), (MULTI, sigmoid), (REGRESSION, (left, right))):
        found = consistency(PROBLEMS[problem], torch.from_numpy(left), torch.from_numpy(right))
        np.testing.assert_allclose(found.numpy(), ((p - q) ** 2).sum(1), rtol=1e-6)


def method_of(trainer):
    return next(method for method in trainer.methods if method.name == "self_distillation")


def test_the_teacher_is_the_average_of_the_weights(tmp_path):
    trainer = trainer_of(Case({"self_distillation": {"decay": 0.6}}), tmp_path)
    method, [name] = method_of(trainer), ["classifier.weight"]
    values, expected = [torch.full((3, 16), float(i)).double() for i in range(1, 5)], None
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            trainer.model.classifier.weight.copy_(value)
        expected = trainer.model.classifier.weight.detach().clone() if expected is None else expected
        method.updated(trainer.model, At(step, 0, 0.0, 0))
    start = method_of(trainer_of(Case({"self_distillation": {"decay": 0.6}}), tmp_path)).teacher.copy.classifier.weight
    by_hand = start.detach().clone()
    for step, value in enumerate(values, 1):
        keep = min(0.6, 1 - 1 / (step + 1))  # 1/2, then the decay
        by_hand = keep * by_hand + (1 - keep) * value
    torch.testing.assert_close(dict(method.teacher.copy.named_parameters())[name].detach(), by_hand)
    assert not any(p.requires_grad for p in method.teacher.copy.parameters())


def test_the_first_step_costs_nothing_and_later_ones_something(tmp_path):
    trainer = trainer_of(Case({"self_distillation": {"weight": 5.0}}), tmp_path)
    trainer.train()
    logged = [entry["self_distillation"] for entry in trainer.state.log_history if "self_distillation" in entry]
    assert logged[0] == pytest.approx(0, abs=1e-12)
    assert min(logged[1:]) > 0


@pytest.mark.slow
def test_the_start_holds_the_predictions(tmp_path):
    moved = []
    for weight in (0.0, 100.0):
        case = Case({"self_distillation": {"teacher": "start", "weight": weight}})
        trainer = trainer_of(case, tmp_path, num_train_epochs=4)
        before = trainer.outputs_of("train", features=False).logits.softmax(1)
        trainer.train()
        moved.append(float((trainer.outputs_of("train", features=False).logits.softmax(1) - before).square().sum()))
    assert moved[1] < 0.2 * moved[0]


def test_norms_of_the_average_are_those_of_the_model(tmp_path):
    trainer = trainer_of(Case({"self_distillation": {"decay": 0.9}}, model="resnet"), tmp_path, num_train_epochs=1)
    trainer.train()
    pairs = zip(method_of(trainer).teacher.copy.named_buffers(), trainer.model.named_buffers(), strict=True)
    assert all(torch.equal(mine, own) for (_, mine), (_, own) in pairs)


def test_the_start_needs_a_head_that_knows_the_classes():
    start = methods_of(self_distillation="start")
    [(key, why)] = refusals(start, Situation(SINGLE, new_head=True))
    assert (key, "set head.keep_known=true" in why) == ("self_distillation", True)
    assert refusals(start, Situation(SINGLE)) == []
    assert refusals(methods_of(self_distillation="ema"), Situation(SINGLE, new_head=True)) == []


def test_an_average_reads_the_inputs_and_the_start_does_not():
    assert "needs the inputs themselves" in uncacheable(methods_of(self_distillation="ema"))
    assert uncacheable(methods_of(self_distillation="start")) is None
    assert CASES["self_distillation"].neutral
