"""Attacks that measure: answers worked by hand on linear models, plain loops, the radius, and a model left as it was."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from hfft.evaluate.attacks import (
    Budget,
    apgd,
    checkpoints,
    one_step,
    over_radii,
    projected,
    random_start,
    steps,
    still_right,
    usual_radius,
    whole,
)

NORMS = ("linf", "l2")


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


@pytest.fixture
def linear():
    """A linear two-class model in float64, whose pixels never reach 0 or 1, and images with their classes."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    x = 0.4 + 0.2 * torch.rand(8, 12, generator=generator, dtype=torch.float64)

    def logits(images):
        return images @ weights.T

    return weights, logits, x, logits(x).argmax(1)


@pytest.fixture
def net():
    """A small net with BatchNorm and dropout, trained for a moment, its images and their classes."""
    torch.manual_seed(0)
    x, labels = torch.rand(60, 1, 6, 6), torch.arange(60) % 3
    x[:, 0, :, :2] += 0.25 * labels[:, None, None]
    x = x.clamp(0, 1)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), x, labels


def lengths(change, norm):
    return change.flatten(1).abs().amax(1) if norm == "linf" else change.flatten(1).norm(dim=1)


def test_fgsm_by_hand():
    """Two pixels, logits (a - b, 0), class 0: the gradient is -(1 - p) (1, -1), so a falls and b rises by the radius."""

    def logits(images):
        margin = images[:, :1] - images[:, 1:]
        return torch.cat([margin, torch.zeros_like(margin)], 1)

    x, labels = torch.tensor([[0.7, 0.4], [0.05, 0.99]]), torch.tensor([0, 0])
    found = one_step(logits, x, labels, Budget("linf", 0.1))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.5], [0.0, 1.0]]))  # the second is cut to [0, 1]
    found = one_step(logits, x[:1], labels[:1], Budget("l2", 0.1))
    torch.testing.assert_close(found, torch.tensor([[0.7 - 0.1 / 2**0.5, 0.4 + 0.1 / 2**0.5]]))


@pytest.mark.parametrize("attack", [steps, apgd, one_step])
@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_the_margin_falls_by_the_dual_norm(linear, attack, norm):
    """The worst case within the radius is known: radius times the l1 norm of the weights (linf) or their l2 norm (l2)."""
    weights, logits, x, labels = linear
    radius = 0.02 if norm == "linf" else 0.05
    found = attack(logits, x, labels, Budget(norm, radius, steps=40))
    w = weights[0] - weights[1]
    sign = 1 - 2 * labels
    margin, after = sign * (x @ w), sign * (found @ w)
    worst = radius * (w.abs().sum() if norm == "linf" else w.norm())
    stopped = after < 0  # APGD stops at a wrong answer
    if attack is not apgd:
        stopped[:] = False
    torch.testing.assert_close(
        (margin - after)[~stopped], torch.full_like(margin, worst)[~stopped], rtol=1e-4, atol=1e-6
    )
    assert torch.equal(after < 0, margin < worst)


def plain_apgd(weights, x, label, radius, count, start):
    """Algorithm 1 for one row, as it is written, on a linear classifier, without the stop at a wrong answer."""

    def loss(z):
        return -np.log(softmax(weights @ z)[label])

    def slope(z):
        return weights.T @ (softmax(weights @ z) - np.eye(len(weights))[label])

    def cut(z):
        return np.clip(np.clip(z, x - radius, x + radius), 0, 1)

    eta, now, before = 2 * radius, start, start
    best, best_loss, values = start, loss(start), [loss(start)]
    eta_seen, best_seen, risen, last = None, best_loss, 0, 0
    for k in range(count):
        ahead = cut(now + eta * np.sign(slope(now)))
        share = 0.75 if k else 1.0
        new = cut(now + share * (ahead - now) + (1 - share) * (now - before))
        value_before = loss(now)
        before, now = now, new
        values.append(loss(now))
        risen += values[-1] > value_before
        if values[-1] > best_loss:
            best, best_loss = now, values[-1]
        if k + 1 in checkpoints(count):
            few, same = risen < 0.75 * (k + 1 - last), eta_seen == eta and best_seen == best_loss
            eta_seen, best_seen = eta, best_loss
            if few or same:
                eta, now = eta / 2, best
            risen, last = 0, k + 1
    return best


def test_apgd_is_the_papers_algorithm_row_by_row():
    rng = np.random.default_rng(1)
    weights, x = rng.normal(size=(4, 10)) * 3, rng.random((6, 10))
    weights += 20 * np.eye(4, 10)  # classes that no change within the radius reaches
    labels = (x @ weights.T).argmax(1)
    budget = Budget("linf", 0.01, seed=3)
    tensor = torch.tensor(x)
    start = random_start(tensor, budget).numpy()
    found = apgd(lambda images: images @ torch.tensor(weights).T, tensor, torch.tensor(labels), budget, 60)
    for row in range(6):
        expected = plain_apgd(weights, x[row], labels[row], 0.01, 60, start[row])
        if (weights @ expected).argmax() == labels[row]:
            np.testing.assert_allclose(found[row], expected, atol=1e-9)


def test_checkpoints_of_100_steps_are_those_of_the_paper():
    """p = 0, 0.22, then each interval 0.03 shorter and at least 0.06."""
    expected, p = [22], [0.0, 0.22]
    while True:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
        if p[-1] > 1 + 1e-9:
            break
        expected.append(round(100 * p[-1]))
    assert checkpoints(100) == expected
    assert checkpoints(1) == [1]


@pytest.mark.parametrize("norm", NORMS)
def test_apgd_is_at_least_as_strong_as_pgd_and_pgd_as_fgsm(net, norm):
    model, x, labels = net
    everyone = torch.ones(len(x), dtype=torch.bool)
    for radius in (0.02, 0.05, 0.1) if norm == "linf" else (0.1, 0.3, 0.6):
        budget = Budget(norm, radius)
        one, many, own = (
            int(still_right(a, model, x, labels, everyone, budget).sum()) for a in (one_step, steps, apgd)
        )
        assert own <= many + (norm == "l2") <= one + 1  # one row at the border may go either way


@pytest.mark.parametrize("attack", [one_step, steps, apgd])
@pytest.mark.parametrize("norm", NORMS)
def test_the_radius_and_the_range_are_kept(net, attack, norm):
    model, x, labels = net
    for radius in (0.03, 0.5, whole(norm, x)):
        found = attack(model, x, labels, Budget(norm, radius))
        assert (lengths(found - x, norm) <= radius + 1e-6).all()
        assert found.min() >= 0
        assert found.max() <= 1


@pytest.mark.parametrize("norm", NORMS)
def test_at_a_radius_that_holds_every_image_nothing_is_right(net, norm):
    model, x, labels = net
    everyone = torch.ones(len(x), dtype=torch.bool)
    assert not still_right(apgd, model, x, labels, everyone, Budget(norm, whole(norm, x))).any()


@pytest.mark.parametrize("attack", [one_step, steps, apgd])
def test_weights_gradients_statistics_and_modes_stay(net, attack):
    model, x, labels = net
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attack(model, x, labels, Budget("linf", 0.1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    assert not x.requires_grad


def test_wrong_rows_are_not_attacked_and_stay_wrong(net):
    model, x, labels = net
    right = torch.arange(len(x)) % 2 == 0
    seen = []

    def attack(logits, images, *_):
        seen.append(len(images))
        return images

    found = still_right(attack, model, x, labels, right, Budget("linf", 0.1), size=7)
    assert sum(seen) == int(right.sum())
    assert max(seen) <= 7
    assert not found[~right].any()


def test_accuracy_never_rises_with_the_radius(net):
    model, x, labels = net
    everyone = torch.ones(len(x), dtype=torch.bool)
    left = over_radii(model, x, labels, everyone, Budget("linf", 0.1), [0.01, 0.03, 0.1, 0.3])
    assert all((~a | b).all() for b, a in itertools.pairwise(left))


def test_projection_is_the_nearest_point_and_starts_are_drawn_by_the_seed():
    x = torch.full((2, 3), 0.5)
    far = x + torch.tensor([[0.3, -0.2, 0.0], [0.6, 0.0, -0.8]])
    torch.testing.assert_close(projected(far, x, 0.1, "linf"), x + torch.tensor([[0.1, -0.1, 0.0], [0.1, 0.0, -0.1]]))
    torch.testing.assert_close(projected(far, x, 0.5, "l2")[1], x[1] + torch.tensor([0.3, 0.0, -0.4]))
    for norm in NORMS:
        one, same, other = (random_start(x, Budget(norm, 0.1, seed=seed)) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_usual_radii():
    assert usual_radius("linf", 32) == 8 / 255
    assert usual_radius("linf", 224) == 4 / 255
    assert usual_radius("l2", 224) == 0.5


def test_a_model_that_is_wrong_everywhere_is_not_attacked():
    def attack(*_):
        raise AssertionError("there is no row to attack")

    x, nothing = torch.rand(3, 1, 4, 4), torch.zeros(3, dtype=torch.bool)
    assert not still_right(
        attack, lambda x: x.flatten(1), x, torch.zeros(3, dtype=int), nothing, Budget("linf", 0.1)
    ).any()
