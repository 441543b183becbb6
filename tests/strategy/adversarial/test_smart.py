"""SMART: its symmetric divergence, its ascent within the radius, and changes of embeddings and pixels."""

import numpy as np
import pytest
import torch

from hfft.strategy.adversarial.smart import smart, smart_change
from hfft.strategy.method import TASK
from hfft.tasks.problem import PROBLEMS
from tests import training
from tests.examples import REGRESSION, SINGLE
from tests.strategy.adversarial.test_attacks import softmax
from tests.strategy.adversarial.test_fgm import by_hand, gradients_of
from tests.strategy.adversarial.test_pgd import BLACK, SPAN, prepared
from tests.strategy.cases import Case, trainer_of


def test_it_is_the_equation():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    p, q = softmax(left), softmax(right)
    found = smart(PROBLEMS[SINGLE], torch.tensor(left), torch.tensor(right))
    np.testing.assert_allclose(found, ((p - q) * np.log(p / q)).sum(1), atol=1e-12)
    found = smart(PROBLEMS[REGRESSION], torch.tensor(left[:, :1]), torch.tensor(right[:, :1]))
    np.testing.assert_allclose(found, (left[:, 0] - right[:, 0]) ** 2, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_change_is_the_papers_iteration(steps):
    """On the divergence x' A x, whose gradient is 2 A x."""
    rng = np.random.default_rng(0)
    root, start = rng.normal(size=(4, 4)), rng.normal(size=(3, 4)) * 0.1
    matrix = root @ root.T
    expected = np.clip(start, -0.2, 0.2)
    for _ in range(steps):
        gradient = 2 * expected @ matrix
        moved = expected + 0.15 * gradient / np.abs(gradient).max(1, keepdims=True)
        expected = np.clip(moved, -0.2, 0.2)
    a = torch.tensor(matrix)
    found = smart_change(lambda x: ((x @ a) * x).sum(1), torch.tensor(start), 0.2, 0.15, steps)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (np.abs(expected) < 0.2).any()
    assert (np.abs(expected) == 0.2).any()


def test_the_gradient_is_that_of_loss_and_divergence(tmp_path):
    found, batch, model = gradients_of(Case({"smart": {"weight": 0.5, "epsilon": 0.3, "step": 0.5}}), tmp_path)
    model.zero_grad()
    tokens, real = batch["input_ids"], batch["attention_mask"][..., None].double()
    rows = batch["row_numbers"].rows
    draws = [np.random.default_rng((42, 0, int(row), 8)).random(tokens[0].numel() * 16) for row in rows]
    uniform = torch.from_numpy(np.stack(draws)).view(*tokens.shape, 16)
    start = (0.3 * torch.special.ndtri(uniform)).clamp(-0.3, 0.3)

    def logits(change):
        embeddings = model.get_input_embeddings()(tokens) + change * real
        return model(inputs_embeds=embeddings, attention_mask=batch["attention_mask"]).logits

    def divergence(change):
        p, q = logits(torch.zeros_like(change)).softmax(1), logits(change).softmax(1)
        return ((p - q) * (p / q).log()).sum(1)

    change = start.requires_grad_()
    [gradient] = torch.autograd.grad(divergence(change).sum(), change)
    gradient = gradient / gradient.flatten(1).abs().amax(1).view(-1, 1, 1)
    change = (change.detach() + 0.5 * gradient).clamp(-0.3, 0.3)
    (by_hand(model, batch, 0.0) + 0.5 * divergence(change).mean()).backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    assert training.difference(expected, found) < 1e-12
    assert divergence(change).min() > 1e-6


@pytest.mark.parametrize(("options", "epsilon"), [({"epsilon": 0.05}, 0.05), ({}, 0.01)])
def test_images_are_changed_within_the_radius_and_the_range(options, epsilon, tmp_path):
    trainer = trainer_of(Case({"smart": options}, model="vit"), tmp_path)
    batch, before, after = prepared(trainer)
    torch.testing.assert_close(after.clamp(0, 1), before)
    changed = (batch.part("smart")["pixel_values"] - BLACK[0]) / SPAN
    apart = (changed - before).abs().flatten(1).amax(1)
    torch.testing.assert_close(apart, torch.full_like(apart, epsilon))
    assert batch.parts == [TASK, "smart"]


def test_the_usual_radius_of_texts_is_smaller(tmp_path):
    start = {
        name: gradients_of(Case({"smart": options}), tmp_path)[0]
        for name, options in (("usual", {}), ("0.003", {"epsilon": 0.003}))
    }
    assert training.difference(start["usual"], start["0.003"]) == 0
