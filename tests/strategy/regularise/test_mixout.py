"""Mixout: its equation, that it is unbiased, what draws it, where it acts, and what it leaves behind."""

import numpy as np
import pytest
import torch
from torch import nn

from hfft.errors import BadInput
from hfft.strategy.method import At, Batch, Setting
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.regularise.mixout import mixout
from hfft.tasks.problem import PROBLEMS
from tests import examples, training
from tests.examples import SINGLE


def batch(step=3, seed=1):
    return Batch({}, ["task"], torch.zeros(1), [], None, 1, At(step, 0, 0.0, seed))


def started(model, head=(), p=0.7):
    [method] = training.methods_of(mixout=p)
    names = {name for name, _ in model.named_parameters() if name.startswith(tuple(head))} if head else set()
    method.start(Setting(model, names, PROBLEMS[SINGLE], 2, 0, torch.device("cpu")))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return method


def test_it_is_the_equation():
    draw = np.random.default_rng(0)
    w, u, m = draw.normal(size=(3, 4)), draw.normal(size=(3, 4)), draw.random((3, 4)) < 0.7
    expected = ((1 - m) * w + m * u - 0.7 * u) / (1 - 0.7)
    found = mixout(torch.from_numpy(w), torch.from_numpy(u), torch.from_numpy(m), 0.7)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_its_mean_over_choices_is_the_weight():
    torch.manual_seed(0)
    w, u = torch.randn(5).double(), torch.randn(5).double()
    found = [mixout(w, u, torch.rand(5) < 0.8, 0.8) for _ in range(20_000)]
    torch.testing.assert_close(torch.stack(found).mean(0), w, atol=0.06, rtol=0)


def test_a_linear_layer_computes_with_the_mixed_weight_and_gets_its_gradient():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    before = model[0].weight.detach().clone()
    method = started(model)
    x = torch.randn(6, 4)
    with method.around(model, batch()):
        seen = []
        handle = model[0].register_forward_pre_hook(lambda module, _: seen.append(module.weight.detach().clone()))
        model(x).sum().backward()
        handle.remove()
    [mixed] = seen
    weight = model[0].weight.detach()
    assert torch.equal(weight, model[0].get_parameter("weight"))
    swapped = torch.isclose(mixed, (before - 0.7 * before) / 0.3, atol=1e-6)
    kept = torch.isclose(mixed, (weight - 0.7 * before) / 0.3, atol=1e-5)
    assert (swapped ^ kept).all()
    assert 0 < swapped.sum() < swapped.numel()
    assert (model[0].weight.grad[swapped] == 0).all()
    assert (model[0].weight.grad[kept] != 0).any()


def test_the_choice_depends_on_seed_and_step_alone():
    model, x = nn.Linear(8, 8), torch.randn(2, 8)
    method = started(model)

    def outputs(**at):
        with method.around(model, batch(**at)):
            return model(x)

    first = outputs()
    torch.manual_seed(99)
    assert torch.equal(first, outputs())
    assert not torch.equal(first, outputs(step=4))
    assert not torch.equal(first, outputs(seed=2))


@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputed_activations_use_the_same_weights(reentrant):
    from torch.utils.checkpoint import checkpoint

    block = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    method = started(block)
    x = torch.randn(3, 4, requires_grad=True)
    found = []
    for run in (block, lambda x: checkpoint(block, x, use_reentrant=reentrant)):
        block.zero_grad()
        with method.around(block, batch()):
            run(run(x)).square().sum().backward()  # a shared layer, called twice
        found.append([p.grad.clone() for p in block.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_nothing_is_left_behind():
    model = examples.tiny("bert")
    method = started(model, head=["classifier"])
    own = {name: set(vars(module)) for name, module in model.named_modules()}
    with pytest.raises(IndexError), method.around(model, batch()):
        model(torch.tensor([[3, 4000]]))
    assert {name: set(vars(module)) for name, module in model.named_modules()} == own
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    x = torch.tensor([[3, 4, 5]])
    with method.around(model, batch()):
        inside = model(x).logits
    assert not torch.equal(inside, model(x).logits)


def test_the_head_and_frozen_layers_are_not_mixed():
    model = examples.tiny("bert")
    model.bert.encoder.layer[0].requires_grad_(False)
    method = started(model, head=["classifier"])
    assert len(method.before) == 2 * 6 + 1  # two blocks and the pooler
    assert not any(name.startswith(("classifier", "bert.encoder.layer.0", "bert.embeddings")) for name in method.before)


def test_gpt2s_layers_are_linear_too():
    method = started(examples.tiny("gpt2"), head=["score"])
    assert len(method.before) == 3 * 4


def test_it_is_refused_where_it_means_nothing():
    with pytest.raises(BadInput, match=r"strategy.mixout: no pretrained linear layer learns"):
        started(nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2)))
    methods = training.methods_of(mixout=0.7)
    assert "FSDP" in refusals(methods, Situation(SINGLE, divided=True))[0][1]
    assert "adapter" in refusals(methods, Situation(SINGLE, adapter=True))[0][1]
