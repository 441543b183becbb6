"""FreeLB: the gradient is the mean over its ascent steps, by a computation of its own."""

import numpy as np
import torch

from hfft.strategy.adversarial.freelb import freelb, freelb_start
from tests import training
from tests.strategy.adversarial.test_fgm import by_hand, gradients_of
from tests.strategy.cases import Case


def test_a_step_is_the_equation():
    rng = np.random.default_rng(0)
    change, gradient = rng.normal(size=(3, 4, 5)) * 0.01, rng.normal(size=(3, 4, 5))
    for step, epsilon in ((0.1, 0.3), (0.5, 0.3)):  # the second leaves the ball
        moved = change + step * gradient / np.sqrt((gradient**2).sum((1, 2), keepdims=True))
        lengths = np.sqrt((moved**2).sum((1, 2), keepdims=True))
        expected = moved * np.minimum(1, epsilon / lengths)
        found = freelb(torch.tensor(change), torch.tensor(gradient), step, epsilon)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_start_has_the_papers_spread_and_spares_padding():
    uniform = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 6, 50)))
    real = torch.ones(2, 6, 1, dtype=torch.float64)
    real[1, 2:] = 0
    found = freelb_start(uniform, real, 0.3)
    np.testing.assert_allclose(found[0], 0.3 * uniform[0] / np.sqrt(300))
    np.testing.assert_allclose(found[1, :2], 0.3 * uniform[1, :2] / np.sqrt(100))
    assert (found[1, 2:] == 0).all()
    lengths = found.flatten(1).norm(dim=1)
    assert ((lengths > 0.12) & (lengths < 0.22)).all()  # 0.3 / sqrt(3) is expected


def test_the_gradient_is_the_mean_over_the_steps(tmp_path):
    options = {"epsilon": 1.0, "step": 0.6, "steps": 3}
    found, batch, model = gradients_of(Case({"freelb": options, "l2_sp": 0.3}), tmp_path)
    model.zero_grad()
    rows = batch["row_numbers"].rows
    tokens, real = batch["input_ids"], batch["attention_mask"][..., None].double()
    draws = [np.random.default_rng((42, 0, int(row), 6)).random(tokens[0].numel() * 16) for row in rows]
    uniform = 2 * torch.from_numpy(np.stack(draws)).view(*tokens.shape, 16) - 1
    count = real.sum((1, 2), keepdim=True) * 16
    change = uniform * real / count.sqrt()
    for _ in range(3):
        change = change.detach().requires_grad_()
        (by_hand(model, batch, change) / 3).backward()
        gradient = change.grad * real
        moved = change.detach() + 0.6 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1)
        change = moved / moved.flatten(1).norm(dim=1).view(-1, 1, 1).clamp(min=1.0)
    expected = {name: p.grad for name, p in model.named_parameters()}  # the pull is zero at the start
    assert training.difference(expected, found) < 1e-12


def test_a_term_of_the_weights_keeps_its_strength(tmp_path):
    class Constant(training.Pull):
        name = "pull"

    def pull():
        return Constant(0.7, {"classifier.weight": torch.full((3, 16), 2.0, dtype=torch.float64)})

    with_term, _, model = gradients_of(Case({"freelb": 1.0}, more=(pull,)), tmp_path)
    without, _, _ = gradients_of(Case({"freelb": 1.0}), tmp_path)
    expected = 0.7 * (model.classifier.weight.detach() - 2.0)
    torch.testing.assert_close(with_term["classifier.weight"] - without["classifier.weight"], expected)
