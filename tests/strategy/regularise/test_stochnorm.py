"""StochNorm: its equation, what draws its channels, where it acts, and what it leaves behind."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hfft.errors import BadInput
from hfft.strategy.method import At, Batch, Setting
from hfft.strategy.regularise.stochnorm import stoch_norm
from hfft.tasks.problem import PROBLEMS
from tests import examples, training
from tests.examples import SINGLE


def batch(step=3, seed=1):
    return Batch({}, ["task"], torch.zeros(1), [], None, 1, At(step, 0, 0.0, seed))


def started(model, p=0.5):
    [method] = training.methods_of(stochnorm=p)
    method.start(Setting(model, set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu"), moving_norms=True))
    return method


def numpy_norm(x, mean, var, by_batch):
    own = (x - x.mean((0, 2), keepdims=True)) / np.sqrt(x.var((0, 2), keepdims=True) + 1e-5)
    moving = (x - mean[None, :, None]) / np.sqrt(var[None, :, None] + 1e-5)
    return np.where(by_batch[None, :, None], own, moving)


def test_it_is_the_equation():
    draw = np.random.default_rng(0)
    x, mean, var = draw.normal(2, 3, (5, 4, 6)), draw.normal(size=4), draw.random(4) + 0.5
    by_batch = np.array([True, False, False, True])
    found = stoch_norm(*map(torch.from_numpy, (x, mean, var, by_batch)))
    np.testing.assert_allclose(found.numpy(), numpy_norm(x, mean, var, by_batch), rtol=1e-6, atol=1e-9)


def test_each_channel_of_a_batch_norm_follows_one_of_the_two():
    norm = nn.BatchNorm1d(32).double()
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.weight.normal_()
        norm.bias.normal_()
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    method, x = started(norm), torch.randn(6, 32, 3, dtype=torch.float64)
    with method.around(norm, batch()):
        found = norm(x)
    plain = nn.BatchNorm1d(32).double()
    plain.running_mean.copy_(mean)
    plain(x)
    assert torch.equal(norm.running_mean, plain.running_mean)  # statistics move as BatchNorm's
    affine = (norm.weight[:, None], norm.bias[:, None])
    both = [
        torch.from_numpy(numpy_norm(x.numpy(), mean.numpy(), var.numpy(), np.full(32, side))) * affine[0] + affine[1]
        for side in (True, False)
    ]
    near = [torch.isclose(found, one).all(0).all(1) for one in both]
    assert (near[0] ^ near[1]).all()
    assert 0 < near[0].sum() < 32


def test_the_channels_depend_on_seed_and_step_alone():
    norm, x = nn.BatchNorm2d(16, momentum=0.0), torch.randn(4, 16, 2, 2)
    method = started(norm)

    def outputs(**at):
        with method.around(norm, batch(**at)):
            return norm(x)

    first = outputs()
    torch.manual_seed(5)
    assert torch.equal(first, outputs())
    assert not torch.equal(first, outputs(step=4))
    assert not torch.equal(first, outputs(seed=2))


@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputed_activations_use_the_same_statistics(reentrant):
    block = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Tanh())
    method, x = started(block), torch.randn(3, 2, 2, 2, requires_grad=True)
    start, found = {name: t.clone() for name, t in block.state_dict().items()}, []
    for run in (block, lambda x: checkpoint(block, x, use_reentrant=reentrant)):
        block.load_state_dict(start)
        block.zero_grad()
        with method.around(block, batch()):
            run(x).square().sum().backward()
        found.append([p.grad.clone() for p in block.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_nothing_is_left_behind_and_evaluation_is_batch_norms():
    model = examples.tiny("resnet")
    method = started(model)
    own = {name: set(vars(module)) for name, module in model.named_modules()}
    x = torch.randn(2, 3, 32, 32)
    plain = model(x).logits
    with method.around(model, batch()):
        assert torch.equal(model(x).logits, plain)  # in eval() a norm is BatchNorm
        model.train()
        assert not torch.equal(model(x).logits, plain)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == own


def test_a_model_without_batch_norm_is_refused():
    [method] = training.methods_of(stochnorm=0.5)
    with pytest.raises(BadInput, match=r"strategy.stochnorm: the model has no BatchNorm that learns"):
        method.start(Setting(examples.tiny("vit"), set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu")))
