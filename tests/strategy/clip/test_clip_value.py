"""Clipping by value is torch's, before clipping by norm, and hides no infinity."""

import pytest
import torch

from hfft.strategy import clip_value
from tests.strategy.clip.test_agc import gradients


@pytest.mark.parametrize("limit", [0.3, 1.0, 9.0])
def test_it_is_that_of_torch(limit):
    gradient = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    parameter = torch.nn.Parameter(torch.zeros(50, 3))
    parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_value_([parameter], limit)
    assert torch.equal(clip_value(gradient, limit), parameter.grad)


def test_an_infinite_entry_stays_and_so_does_nan():
    found = clip_value(torch.tensor([float("inf"), -float("inf"), float("nan"), -5.0, 0.1]), 1.0)
    assert found.isinf().tolist() == [True, True, False, False, False]
    assert found.isnan().tolist() == [False, False, True, False, False]
    assert found[3:].tolist() == pytest.approx([-1.0, 0.1])


def test_every_gradient_is_clipped_the_heads_too(tmp_path):
    _, plain = gradients(tmp_path / "plain")
    _, clipped = gradients(tmp_path / "clipped", clip_value=0.01)
    assert any((gradient.abs() > 0.01).any() for gradient in plain.values())
    for name, gradient in plain.items():
        assert torch.equal(clipped[name], gradient.clamp(-0.01, 0.01))


def test_equal_weights_of_all_classes_are_a_factor_of_the_gradient(tmp_path):
    weights = {"class_weights": {f"class {i}": 3.0 for i in range(3)}}
    _, plain = gradients(tmp_path / "plain", clip_value=0.01)
    _, weighted = gradients(tmp_path / "weighted", clip_value=0.01, **weights)
    for name, gradient in plain.items():
        torch.testing.assert_close(weighted[name], 3 * gradient)
