"""The term of AdaLoRA: its paper's equation, and only where the adapter asks for it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hfft.strategy.build import implied_methods
from hfft.strategy.regularise.orthogonality import orthogonality


def factors(a, b):
    """A module with a layer's two factors and a tensor that is none of them."""
    model = nn.Module()
    model.lora_A, model.lora_B, model.other = (nn.ParameterDict({"default": nn.Parameter(t)}) for t in (a, b, 9 * a))
    return model


def test_it_is_the_mean_distance_of_both_factors():
    a, b = torch.randn(2, 5, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    one = torch.eye(2, dtype=torch.float64)
    expected = (torch.linalg.norm(a @ a.T - one) + torch.linalg.norm(b.T @ b - one)) / 2
    torch.testing.assert_close(orthogonality(factors(a, b)), expected)
    assert orthogonality(factors(torch.eye(3)[:2], torch.eye(4)[:, :2])) == 0


@pytest.mark.parametrize(
    ("kind", "weight", "there"), [("ADALORA", 0.5, True), ("ADALORA", 0, False), ("LORA", 0.5, False)]
)
def test_it_comes_with_an_adapter_that_weighs_it(kind, weight, there):
    model = SimpleNamespace(peft_config={"default": SimpleNamespace(peft_type=kind, orth_reg_weight=weight)})
    found = implied_methods(SimpleNamespace(label_smoothing_factor=0.0), model)
    assert [(method.name, method.weight.spec) for method in found] == ([("orthogonality", weight)] if there else [])
