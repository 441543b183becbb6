"""Entropy of predictions, as it is subtracted by the confidence penalty and added by entropy minimisation."""

import math

import numpy as np
import pytest
import torch

from hfft.strategy.method import TASK, At, Pass
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.regularise.entropy import entropy
from tests.examples import MULTI, REGRESSION, SINGLE
from tests.training import methods_of

AT = At(0, 0, 0.0, 0)
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [9.0, 1.0, -4.0]], dtype=torch.float64)


def test_it_is_minus_the_mean_log_probability():
    p = np.exp(LOGITS.numpy()) / np.exp(LOGITS.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(entropy(LOGITS).numpy(), -(p * np.log(p)).sum(1), rtol=1e-10)
    assert entropy(LOGITS)[1].item() == pytest.approx(math.log(3))


def test_independent_outputs_have_an_entropy_each():
    p = 1 / (1 + np.exp(-LOGITS.numpy()))
    expected = -(p * np.log(p) + (1 - p) * np.log(1 - p)).sum(1)
    np.testing.assert_allclose(entropy(LOGITS, multi_label=True).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_certain_prediction_has_none_and_a_finite_gradient(multi_label):
    logits = torch.tensor([[1e4, -1e4, -1e4]], requires_grad=True)
    value = entropy(logits, multi_label)
    value.sum().backward()
    assert value.item() == 0
    assert logits.grad.isfinite().all()


def seen(parts):
    logits = {part: LOGITS + i for i, part in enumerate(parts)}
    logits = {part: value * (i + 1) for i, (part, value) in enumerate(logits.items())}
    return Pass(logits, {}, {}, torch.zeros(3), None, {}, AT)


@pytest.mark.parametrize(("key", "sign"), [("confidence_penalty", -1), ("entropy", 1)])
def test_one_is_subtracted_and_the_other_added(key, sign):
    [method] = methods_of(**{key: 0.3})
    method.multi_label = False
    torch.testing.assert_close(method.losses(seen([TASK]))[key], sign * 0.3 * entropy(LOGITS))


def test_with_a_set_it_is_the_entropy_of_that_sets_rows():
    [method] = methods_of(entropy={"weight": 0.3, "on": "target"})
    method.multi_label, method.part, method.size, method.rows = False, "target", 7, 7
    torch.testing.assert_close(
        method.losses(seen([TASK, "target"]))["entropy"], 0.3 * entropy(2 * (LOGITS + 1)), rtol=1e-10, atol=0
    )
    drawn = method.companions(np.arange(7), 1, 0)["target"]
    assert (drawn.of, sorted(drawn.rows)) == ("target", list(range(7)))


def test_they_need_classes_and_the_set():
    for strategy in ({"entropy": 0.1}, {"confidence_penalty": 0.1}):
        [(key, why)] = refusals(methods_of(**strategy), Situation(REGRESSION))
        assert [key] == list(strategy)
        assert "which regression does not have" in why
        assert refusals(methods_of(**strategy), Situation(MULTI)) == []
    [(_, why)] = refusals(methods_of(entropy={"on": "web"}), Situation(SINGLE, sets=("target",)))
    assert "(known: target)" in why
    assert refusals(methods_of(entropy=0.1), Situation(SINGLE, streaming=True)) == []
    [(_, why)] = refusals(methods_of(entropy={"on": "web"}), Situation(SINGLE, streaming=True, sets=("web",)))
    assert "row numbers" in why
