"""Attacks as pure functions: closed forms on linear models, the radius, the range, and the rise of the loss."""

import numpy as np
import pytest
import torch
from torch import nn

from hfft.strategy.adversarial.attacks import fgsm, gradient, per_row, pgd, pgd_attack, within


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.fixture
def linear():
    """Weights (C, D), images (B, D) in [0, 1] and labels of a linear softmax classifier."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 6)), rng.uniform(0.2, 0.8, (4, 6)), np.array([0, 2, 1, 0])


def loss_of(weights, labels):
    return lambda x: nn.functional.cross_entropy(x @ torch.tensor(weights).T, torch.tensor(labels), reduction="none")


def analytic(weights, x, labels):
    """The gradient of cross-entropy at the input of a linear classifier: W^T (p - y)."""
    return (softmax(x @ weights.T) - np.eye(3)[labels]) @ weights


def test_on_a_linear_model_fgsm_is_the_closed_form(linear):
    weights, x, labels = linear
    found = fgsm(loss_of(weights, labels), torch.tensor(x), 0.1)
    np.testing.assert_allclose(found, x + 0.1 * np.sign(analytic(weights, x, labels)), atol=1e-12)


def test_for_two_classes_fgsm_is_the_worst_there_is(linear):
    """For a linear margin w.x of label -1 or 1 the worst change is -epsilon y sign(w): the margin falls by epsilon ||w||_1."""
    (w, *_), x, _ = linear
    y = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)

    def margins(x):
        return y * (x @ torch.tensor(w))

    found = fgsm(lambda x: nn.functional.softplus(-margins(x)), torch.tensor(x), 0.05)
    fallen = margins(torch.tensor(x)) - margins(found)
    np.testing.assert_allclose(fallen, 0.05 * np.abs(w).sum(), atol=1e-12)


@pytest.mark.parametrize("steps", [1, 7])
def test_pgd_is_the_papers_iteration(linear, steps):
    weights, x, labels = linear
    rng = np.random.default_rng(1)
    epsilon, step, start = 0.3, 0.11, rng.uniform(-0.3, 0.3, x.shape)
    expected = np.clip(x + start, np.maximum(x - epsilon, 0), np.minimum(x + epsilon, 1))
    for _ in range(steps):
        moved = expected + step * np.sign(analytic(weights, expected, labels))
        expected = np.clip(np.clip(moved, x - epsilon, x + epsilon), 0, 1)
    found = pgd(loss_of(weights, labels), torch.tensor(x), epsilon, step, steps, torch.tensor(start))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found == 0).any()  # the range cuts some of it
    assert ((found > 0) & (found < 1)).any()


def test_pgd_20_reaches_the_radius_stays_in_the_range_and_raises_the_loss():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 3)).eval()
    x, labels = torch.rand(8, 3, 4, 4), torch.randint(3, (8,))
    x[0, 0] = 0.0
    found = pgd_attack(model, x, labels)
    assert not found.requires_grad
    assert found.min() >= 0
    assert found.max() <= 1
    apart = (found - x).abs().flatten(1).amax(1)
    assert (apart <= 8 / 255 + 1e-7).all()
    assert (apart > 8 / 255 - 1e-6).all()
    loss = nn.CrossEntropyLoss(reduction="none")
    assert (loss(model(found), labels) > loss(model(x), labels)).all()
    assert all(p.grad is None for p in model.parameters())


def test_more_steps_raise_the_loss_and_a_radius_of_1_leaves_no_accuracy():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 3)).eval()
    x = torch.rand(16, 3, 4, 4)
    labels = model(x).argmax(1)
    losses = [
        nn.functional.cross_entropy(model(pgd_attack(model, x, labels, step=1 / 255, steps=steps, seed=None)), labels)
        for steps in (0, 1, 4, 20)
    ]
    assert losses == sorted(losses)
    everything = pgd_attack(model, x, labels, epsilon=1.0, step=0.1, steps=40)
    assert (model(everything).argmax(1) == labels).float().mean() == 0


def test_the_random_start_is_the_seeds():
    model, x, labels = nn.Flatten(), torch.rand(2, 3), torch.tensor([0, 1])
    starts = [pgd_attack(model, x, labels, steps=0, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert torch.equal(pgd_attack(model, x, labels, steps=0, seed=None), x)


def test_a_row_is_attacked_as_if_it_were_alone(linear):
    weights, x, labels = linear
    both = pgd(loss_of(weights, labels), torch.tensor(x), 0.1, 0.03, 3)
    alone = pgd(loss_of(weights, labels[1:2]), torch.tensor(x[1:2]), 0.1, 0.03, 3)
    torch.testing.assert_close(both[1:2], alone)


def test_norms_are_those_of_rows_and_zeros_stay():
    values = torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert per_row(values)[0].tolist() == [[0.6, 0.0], [0.0, 0.8]] or torch.allclose(per_row(values)[0], values[0] / 5)
    assert torch.equal(per_row(values)[1], values[1])
    torch.testing.assert_close(per_row(values, float("inf"))[0], values[0] / 4)
    torch.testing.assert_close(within(values, 1.0)[0], values[0] / 5)
    assert torch.equal(within(values, 6.0), values)


def test_gradients_are_taken_also_where_none_are_recorded():
    with torch.no_grad():
        assert gradient(lambda x: x.square().sum(1), torch.tensor([[1.0, 2.0]])).tolist() == [[2.0, 4.0]]
