"""What is frozen stands still in training, also where a layer computes its own gradients."""

import copy

import pytest
import torch

from hfft import layers
from tests.architectures.case import Case, loss

reformer = pytest.fixture(lambda: Case("text", "reformer"))


def gradients(case, model):
    """Name -> gradient of each parameter that learns, of one step without dropout."""
    layers.hold([model.train()])
    loss(model, case.tiny.inputs, case.tiny.labels).mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.slow_but("head")
@pytest.mark.parametrize("train", ["last-1", "first-1", "biases", "head"])
def test_the_gradients_of_reversible_layers_are_the_same_whatever_is_frozen_around_them(reformer, train):
    whole = gradients(reformer, reformer.fresh())
    model = layers.adapt(reformer.fresh(), train, None, reformer.depths, reformer.head_names)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    found = gradients(reformer, model)
    assert found.keys() == learning & whole.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, whole[name], rtol=1e-5, atol=1e-7)


def test_a_held_layer_that_computes_its_own_gradients_trains_and_nothing_inside_it_does(reformer):
    model = reformer.fresh().train()
    layers.hold([model])
    training = {type(module).__name__ for module in model.modules() if module.training}
    assert training == {"ReformerLayer"}


def test_reversible_layers_learn_through_an_adapter(reformer):
    adapter = {"type": "lora", "r": 2}
    model = layers.adapt(reformer.fresh(), "head", adapter, reformer.depths, reformer.head_names)
    found = gradients(reformer, model)
    assert {depth for name, g in found.items() if g.any() for depth in [reformer.depths.of(name)]} == {1, 2, 3, 4}


def test_statistics_without_parameters_stand_still_unless_all_around_them_learns():
    case = Case("text", "ibert")
    for train, adapter, moves in (("head", {"type": "lora", "r": 2}, False), ("last-1", None, True)):
        model = layers.adapt(case.fresh(), train, adapter, case.depths, case.head_names)
        before = copy.deepcopy(dict(model.named_buffers()))
        model.train()
        layers.hold(layers.frozen_modules(model))
        model(**case.tiny.inputs)
        moved = {name for name, buffer in model.named_buffers() if not torch.equal(buffer, before[name])}
        assert bool(moved) == moves
        assert all(name.startswith("ibert.encoder.layer.2.") for name in moved), "the last block's alone"
