"""SAM: the gradient is that of the weights that were climbed to, and these come back to the bit."""

import pytest
import torch
from torch import nn

from hfft.strategy.method import At
from tests.training import methods_of


@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_the_gradient_is_that_at_the_worst_point_nearby(rho):
    torch.manual_seed(0)
    model, x = nn.Linear(3, 1), torch.randn(8, 3)

    def loss():
        return model(x).square().mean()

    def again():
        model.zero_grad()
        loss().backward()

    again()
    before = [p.detach().clone() for p in model.parameters()]
    gradients = [p.grad.clone() for p in model.parameters()]
    length = torch.cat([g.flatten() for g in gradients]).norm()
    [method] = methods_of(sam=rho)
    method.gradients(model, again, At(0, 0, 0.0, 0))
    found = [p.grad.clone() for p in model.parameters()]
    assert all(torch.equal(p, was) for p, was in zip(model.parameters(), before, strict=True))
    with torch.no_grad():
        for p, g in zip(model.parameters(), gradients, strict=True):
            p.add_(rho * g / length)
    again()
    for p, grad in zip(model.parameters(), found, strict=True):
        torch.testing.assert_close(grad, p.grad)
