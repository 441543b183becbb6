"""Early-learning regularisation is its paper's equation, and its averages follow the steps that were taken."""

import numpy as np
import pytest
import torch

from hfft.strategy.loss.elr import elr
from hfft.strategy.method import TASK, At, Pass
from tests.examples import SINGLE, tiny
from tests.strategy.noisy import LOGITS, softmax, started
from tests.training import arguments, examples, finetuner, labels_of, methods_of

WEIGHT, MOMENTUM = 3.0, 0.6
ROWS = np.array([4, 0, 2, 6, 1])


def method(weight=WEIGHT):
    return started({"elr": {"weight": weight, "momentum": MOMENTUM}}, (3, 3, 1))


def passed(logits=LOGITS, rows=ROWS, step=0, notes=None):
    labels = torch.zeros(len(rows), dtype=torch.long)
    at = At(step, 0, 0.0, 0)
    return Pass({TASK: torch.tensor(logits)}, {}, {}, labels, rows, {} if notes is None else notes, at)


def test_it_is_the_equation_over_several_steps():
    found, mean = method(), np.zeros((7, 3))
    for step in range(3):
        logits = LOGITS * (step + 1) / 4  # no probability is near 0 or 1
        p = softmax(logits)
        mean[ROWS] = MOMENTUM * mean[ROWS] + (1 - MOMENTUM) * p
        expected = WEIGHT * np.log(1 - (p * mean[ROWS]).sum(1))
        terms = found.losses(passed(logits, step=step))
        np.testing.assert_allclose(terms["elr"], expected, rtol=1e-5)
        found.updated(None, At(step + 1, 0, 0.0, 0))
        np.testing.assert_allclose(found.mean, mean, rtol=1e-5)


def test_its_gradient_is_the_papers():
    """`p_c / (1 - <p, t>) * sum_k (t_k - t_c) p_k`: equation 6 of the paper."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    t = np.random.default_rng(0).dirichlet(np.ones(3), size=5)
    [found] = torch.autograd.grad(elr(logits, torch.tensor(t)).sum(), logits)
    p = softmax(LOGITS)
    expected = [[p[n, c] / (1 - p[n] @ t[n]) * sum((t[n, k] - t[n, c]) * p[n, k] for k in range(3)) for c in range(3)]
                for n in range(5)]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_a_step_that_is_skipped_moves_no_average():
    found = method()
    found.losses(passed(step=0))
    found.losses(passed(LOGITS[:2], ROWS[:2], step=1))
    found.updated(None, At(2, 0, 0.0, 0))
    moved = found.mean.abs().sum(1) > 0
    assert moved.nonzero().flatten().tolist() == [0, 4]


def test_a_step_that_is_computed_again_uses_the_same_averages():
    found, notes = method(), {}
    first = found.losses(passed(notes=notes))["elr"]
    again = found.losses(passed(LOGITS + 1e-9, notes=notes))["elr"]
    torch.testing.assert_close(first, again)
    found.losses(passed(LOGITS * 5, notes=notes))
    found.updated(None, At(1, 0, 0.0, 0))
    np.testing.assert_allclose(found.mean[ROWS], (1 - MOMENTUM) * softmax(LOGITS), rtol=1e-5)


def test_a_trial_before_the_training_leaves_nothing_behind():
    found = method()
    found.losses(passed())
    found.epoch(None, None, At(0, 0, 0.0, 0))
    found.losses(passed(LOGITS[:1], ROWS[:1]))
    found.updated(None, At(1, 0, 0.0, 0))
    assert (found.mean.abs().sum(1) > 0).nonzero().flatten().tolist() == [4]


def test_a_row_that_is_seen_twice_in_a_step_counts_once_with_its_mean_prediction():
    found = method()
    found.losses(passed(LOGITS[:2], np.array([3, 3])))
    found.losses(passed(LOGITS[2:3], np.array([1])))
    found.updated(None, At(1, 0, 0.0, 0))
    p = softmax(LOGITS)
    np.testing.assert_allclose(found.mean[3], (1 - MOMENTUM) * p[:2].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.mean[1], (1 - MOMENTUM) * p[2], rtol=1e-5)


def test_a_micro_batch_without_rows_is_no_loss():
    found = method()
    terms = found.losses(passed(LOGITS[:0], ROWS[:0]))
    found.updated(None, At(1, 0, 0.0, 0))
    assert terms["elr"].shape == (0,)
    assert found.mean.eq(0).all()


def test_certain_rows_have_finite_losses_and_gradients():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    elr(logits, torch.tensor([[1.0, 0.0, 0.0]])).sum().backward()
    assert logits.grad.isfinite().all()


def test_its_average_is_its_bytes():
    from hfft.strategy.describe import held_bytes

    assert held_bytes([method()], torch.nn.Linear(2, 3)) == 7 * 3 * 8


@pytest.mark.slow
def test_wrong_labels_are_learned_by_heart_without_it(tmp_path):
    """Of random labels, a plain run learns more than one whose predictions are held near their early average."""
    fitted = []
    for methods in ([], methods_of(elr={"weight": 20.0})):
        rows = examples("text", SINGLE, 32)
        settings = arguments(tmp_path, per_device_train_batch_size=8, num_train_epochs=30, optim="adamw_torch",
                             learning_rate=0.01)  # fmt: skip
        trainer = finetuner(tiny("bert"), labels_of(SINGLE), rows, settings, methods=methods)
        trainer.train()
        answers = trainer.outputs_of("train")
        fitted.append(float((answers.logits.argmax(1) == answers.labels).float().mean()))
    assert fitted[0] > fitted[1] + 0.2
