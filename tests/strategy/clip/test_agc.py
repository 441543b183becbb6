"""Adaptive clipping is the paper's equation, unit by unit, and leaves the head and small gradients alone."""

import numpy as np
import pytest
import torch

from hfft.strategy import agc
from hfft.strategy.needs import Situation, refusals
from tests.examples import SINGLE, head_and_depths, tiny
from tests.training import Gradients, arguments, examples, finetuner, labels_of, methods_of


def by_hand(weights, gradient, factor, eps):
    """Equation 3 for one unit after the other."""
    result = gradient.copy()
    units = [...] if sum(size > 1 for size in weights.shape) <= 1 else range(len(weights))
    for i in units:
        limit = factor * max(np.sqrt((weights[i] ** 2).sum()), eps)
        norm = np.sqrt((gradient[i] ** 2).sum())
        if norm > limit:
            result[i] = gradient[i] * limit / norm
    return result


@pytest.mark.parametrize("shape", [(7,), (1, 1, 5), (6, 4), (5, 3, 2, 2), (1, 4, 3), ()])
@pytest.mark.parametrize(("factor", "eps"), [(0.01, 1e-3), (0.8, 1e-3), (0.5, 2.0)])
def test_it_is_the_papers_equation(shape, factor, eps):
    rng = np.random.default_rng(3)
    weights, gradient = rng.normal(size=shape), rng.normal(size=shape)
    if len(shape) == 2:
        weights[1], gradient[2], gradient[3] = 0.0, 0.0, gradient[3] * 1e-4
    found = agc(torch.tensor(weights), torch.tensor(gradient), factor, eps).numpy()
    np.testing.assert_allclose(found, by_hand(np.asarray(weights), np.asarray(gradient), factor, eps), rtol=1e-12)


def test_a_units_gradient_within_its_limit_keeps_its_bits():
    weights, gradient = torch.ones(2, 3), torch.tensor([[0.001, 0.002, 0.003], [1.0, 1.0, 1.0]])
    found = agc(weights, gradient, 0.1)
    assert torch.equal(found[0], gradient[0])
    torch.testing.assert_close(found[1].norm(), torch.tensor(0.1 * 3**0.5))


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_what_is_not_finite_stays_so(bad):
    assert not agc(torch.ones(2, 3), torch.tensor([[bad, 1.0, 1.0], [1.0, 1.0, 1.0]])).isfinite().all()


def gradients(folder, **strategy):
    model = tiny("bert", dropout=0.0)
    seen = Gradients()
    settings = arguments(folder, max_grad_norm=0.0, max_steps=1)
    rows = examples("text", SINGLE, 8)
    extra = {"class_ids": np.array([row["labels"] for row in rows])}
    trainer = finetuner(
        model, labels_of(SINGLE), rows, settings, callbacks=[seen], methods=methods_of(**strategy), **extra
    )
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.train()
    return start, seen.steps[0]


def test_all_layers_but_the_head_are_clipped(tmp_path):
    start, plain = gradients(tmp_path / "plain")
    _, clipped = gradients(tmp_path / "agc", agc=0.02)
    head_names, _ = head_and_depths(tiny("bert"))
    changed = {name for name in plain if not torch.equal(plain[name], clipped[name])}
    assert changed
    assert not changed & head_names
    for name in set(plain) - head_names:
        torch.testing.assert_close(clipped[name], agc(start[name], plain[name], 0.02))


def test_equal_weights_of_all_classes_are_a_factor_of_the_gradient(tmp_path):
    weights = {"class_weights": {f"class {i}": 3.0 for i in range(3)}}
    _, plain = gradients(tmp_path / "agc", agc=0.02)
    _, weighted = gradients(tmp_path / "weighted", agc=0.02, **weights)
    for name, gradient in plain.items():
        torch.testing.assert_close(weighted[name], 3 * gradient)


def test_scaled_gradients_and_deepspeed_are_refused():
    for situation, said in (
        (Situation(SINGLE, scaled=True), "changes the gradient, which fp16 has scaled by then; use training.bf16=true"),
        (Situation(SINGLE, deepspeed=True), "changes the gradient, which DeepSpeed does not allow; launch without it"),
    ):
        ((key, why),) = refusals(methods_of(agc=0.01), situation)
        assert key == "agc"
        assert said in why


def test_it_goes_with_a_method_that_takes_the_gradient_again():
    assert refusals(methods_of(sam=0.1, agc=0.01, clip_value=1.0), Situation(SINGLE)) == []
