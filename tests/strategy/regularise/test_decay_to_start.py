"""Decay to the start: its equation, each group's own rate, and what it leaves alone."""

import numpy as np
import pytest
import torch

from hfft.strategy.needs import Situation, refusals
from hfft.strategy.regularise.decay_to_start import decay_to_start
from tests.examples import SINGLE, head_and_depths, tiny
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def test_a_weight_moves_by_its_rate_times_the_weight_times_the_way_back():
    model = torch.nn.Linear(3, 2, dtype=torch.float64)
    start = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    decay_to_start(model, start, {"weight": 0.01, "bias": 0.002}, 30.0)
    for name, rate in (("weight", 0.01), ("bias", 0.002)):
        expected = before[name] + rate * 30.0 * (start[name].numpy() - before[name])
        np.testing.assert_allclose(getattr(model, name).detach().numpy(), expected, rtol=1e-12)


def test_it_does_not_go_beyond_the_start_and_moves_only_what_has_one():
    model = torch.nn.Linear(3, 2)
    start, bias = {"weight": torch.randn(2, 3)}, model.bias.detach().clone()
    decay_to_start(model, start, {"weight": 0.5, "bias": 0.5}, 30.0)
    assert torch.equal(model.weight, start["weight"])
    assert torch.equal(model.bias, bias)


def trained(folder, strategy, **changes):
    """The weights after two steps of SGD, with rates that differ by depth, of a model and before."""
    model = tiny("bert").double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    methods = methods_of(**strategy)
    settings = arguments(folder, per_device_train_batch_size=8, num_train_epochs=1, max_grad_norm=0, **changes)
    rows = examples("text", SINGLE, 16)
    trainer = finetuner(
        model, labels_of(SINGLE), rows, settings, methods=methods, lr_rules={"layer_decay": 0.5, "head_lr_scale": 2.0}
    )
    trainer.train()
    return before, {name: p.detach() for name, p in model.named_parameters()}, trainer


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_each_group_decays_at_its_own_rate_of_the_step(schedule, tmp_path):
    one = {"max_steps": 1, "lr_scheduler_type": schedule}
    start, plain, _ = trained(tmp_path, {}, **one)
    _, pulled, trainer = trained(tmp_path, {"decay_to_start": 4.0}, **one)
    _, depths = head_and_depths(trainer.model)
    for name, weight in plain.items():
        rate = 0.0 if depths.of(name) == depths.head else 0.1 * 0.5 ** (depths.head - depths.of(name))
        expected = weight + rate * 4.0 * (start[name] - weight)
        torch.testing.assert_close(pulled[name], expected, rtol=1e-10, atol=1e-12)


def test_a_ramp_to_zero_is_recadams_annealing(tmp_path):
    _, plain, _ = trained(tmp_path / "plain", {})
    ramp = {"weight": {"start": 5.0, "end": 0, "over": 0.5, "shape": "sigmoid"}}
    _, ramped, _ = trained(tmp_path / "ramp", {"decay_to_start": ramp})
    for name, weight in plain.items():  # after half of the steps it is 0, rounded
        torch.testing.assert_close(ramped[name], weight, rtol=1e-12, atol=1e-14)
    ramp["weight"]["over"] = 1.0
    _, ramped, _ = trained(tmp_path / "long", {"decay_to_start": ramp})
    assert any(not torch.allclose(ramped[name], weight) for name, weight in plain.items())


def test_where_its_rates_are_not_at_hand_it_is_refused():
    [(key, why)] = refusals(methods_of(decay_to_start=1.0), Situation(SINGLE, deepspeed=True))
    assert key == "decay_to_start"
    assert "copies of its own; launch without it" in why
    assert refusals(methods_of(decay_to_start=1.0), Situation(SINGLE, adapter=True))
