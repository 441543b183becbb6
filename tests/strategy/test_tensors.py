"""Tensors go where another one is, divided as that one is divided."""

from types import SimpleNamespace

import pytest
import torch
from torch.distributed import tensor as distributed

from hfft.strategy.tensors import divide_again, like, total_norm, whole


@pytest.fixture
def divided(monkeypatch):
    """Torch's call that divides a tensor, replaced by one that says what it was given."""
    monkeypatch.setattr(distributed, "distribute_tensor", lambda *given: given)
    return SimpleNamespace(device="cpu", device_mesh="mesh", placements="places")


def test_a_whole_tensor_is_divided_where_the_other_is_and_a_divided_one_is_let_be(divided):
    tensor = torch.ones(2)
    assert like(tensor, divided) == (tensor, "mesh", "places")
    assert like(tensor, torch.zeros(3)) is tensor
    tensor.device_mesh = "mesh"
    assert like(tensor, divided) is tensor
    assert like(tensor, torch.zeros(3)) is tensor


def test_what_is_divided_is_asked_for_whole():
    assert whole(SimpleNamespace(full_tensor=lambda: 5)) == 5
    assert whole(5) == 5


def test_the_norm_is_that_of_all_together():
    torch.testing.assert_close(total_norm([torch.tensor([3.0]), torch.tensor([[4.0, 12.0]])]), torch.tensor(13.0))


def test_only_modules_of_fsdp_are_divided_again():
    done = []
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    divide_again(model)
    model[0].reshard = lambda: done.append(1)
    divide_again(model)
    assert done == [1]
