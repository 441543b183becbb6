"""SWAD: the valley that Algorithm 1 of the paper finds, the mean over it, and what an evaluation scores."""

import numpy as np
import pytest
import torch
from torch import nn

from hfft import load_recipe
from hfft.recipe.checks import situation
from hfft.strategy.average.swad import valley
from hfft.strategy.method import At, Setting
from hfft.strategy.needs import Situation, refusals
from hfft.tasks.problem import PROBLEMS
from tests import training
from tests.examples import SINGLE
from tests.strategy.cases import CASES, trainer_of

FALLING = [5.0, 4.0, 3.0, 2.0]
VALLEY = [*FALLING, 1.0, 1.1, 1.2, 1.0, 1.3, 1.2]


def algorithm(losses, n_s, n_e, rate):
    """Algorithm 1, line by line, with its indices from 1; t_e is T if the end is not found."""
    start, end, limit = 0, len(losses), None
    e = dict(enumerate(losses, 1))
    for i in range(1, len(losses) + 1):
        if limit is None:
            window = [e.get(i - k, -np.inf) for k in range(n_s)]  # an evaluation before the first is no minimum
            if i >= n_s and e[i - n_s + 1] == min(window):
                start, limit = i - n_s + 1, rate / n_s * sum(window)
        elif limit < min(e.get(i - k, -np.inf) for k in range(n_e)):
            end = i - n_e
            break
    return None if limit is None else (start - 1, end - 1)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (FALLING, None),
        (VALLEY, (4, 9)),
        ([*VALLEY, 2, 2, 2, 2, 2], (4, 14)),  # five evaluations above 1.3 * 1.1 are not six
        ([*VALLEY, 2, 2, 2, 2, 2, 2, 2], (4, 9)),
        ([*VALLEY, 2, 2, 2, 2, 2, 1, 2, 2], (4, 17)),
        ([1.0, 1.0, 1.0], (0, 2)),
    ],
)
def test_the_valley(losses, expected):
    assert valley(losses) == expected == algorithm(losses, 3, 6, 1.3)


def walk(losses, steps, **options):
    """The weights of each step of a run with these evaluations, and the method at its end."""
    model = nn.Linear(2, 1).double()
    [method] = training.methods_of(swad=options)
    method.start(Setting(model, set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu")))
    walked, step = [], 0
    for loss in losses:
        walked.append([])
        for _ in range(steps):
            step += 1
            with torch.no_grad():
                model.weight.add_(torch.randn(1, 2))
            method.updated(model, At(step, 0, 0.0, 0))
            walked[-1].append(model.weight.detach().numpy().copy())
        method.evaluated({"eval_loss": loss}, At(step, 0, 0.0, 0))
    return walked, model, method


@pytest.mark.parametrize("seed", range(20))
def test_the_mean_is_that_of_every_step_in_the_valley(seed):
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    n_s, n_e = draw.integers(1, 5, 2).tolist()
    losses = (draw.random(25) + np.linspace(0.5, -0.5, 25) ** 2 * 8).tolist()
    walked, model, method = walk(losses, 2, optimum_patience=n_s, overfit_patience=n_e, tolerance_rate=1.1)
    start, end = algorithm(losses, n_s, n_e, 1.1)
    expected = np.mean([weight for segment in walked[start : end + 1] for weight in segment], axis=0)
    with method.scored(model):
        np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)
    assert len(method.segments) == 0


def test_while_the_loss_falls_the_last_weights_are_scored():
    walked, model, method = walk(FALLING, 2)
    with method.scored(model):
        assert np.array_equal(model.weight.detach().numpy(), walked[-1][-1])


def test_a_state_goes_on_where_it_was():
    torch.manual_seed(0)
    _, model, method = walk(VALLEY[:5], 2)
    [again] = training.methods_of(swad={})
    again.start(Setting(model, set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu")))
    again.load({name: tensor.clone() for name, tensor in method.state().items()})
    for one in (method, again):
        for i, loss in enumerate([*VALLEY[5:], *[9.0] * 7]):
            torch.manual_seed(i)
            with torch.no_grad():
                model.weight.copy_(torch.randn(1, 2))
            one.updated(model, At(i, 0, 0.0, 0))
            one.evaluated({"eval_loss": loss}, At(i, 0, 0.0, 0))
    assert method.ended
    assert again.ended
    assert torch.equal(method.mean().weights["weight"], again.mean().weights["weight"])


@pytest.mark.slow
def test_evaluations_during_training_score_the_steps_weights(tmp_path):
    trainer = trainer_of(CASES["swad"], tmp_path)
    plain = trainer_of(CASES["none"], tmp_path, **CASES["swad"].settings)
    trainer.train()
    plain.train()
    losses = [[row["eval_loss"] for row in t.state.log_history if "eval_loss" in row] for t in (trainer, plain)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6
    assert trainer.evaluate()["eval_loss"] != losses[0][-1]


def test_it_is_refused_without_evaluation_and_with_the_best_checkpoint():
    methods = training.methods_of(swad={})
    [(key, why)] = refusals(methods, Situation(SINGLE, evaluates=False))
    assert key == "swad"
    assert "training.eval_strategy=epoch" in why
    [(key, why)] = refusals(methods, Situation(SINGLE, best=True))
    assert (key, why) == (
        "swad",
        "chooses the weights itself, as training.load_best_model_at_end and early_stopping do; leave one of them out",
    )


@pytest.mark.parametrize("given", [{"load_best_model_at_end": True}, {"early_stopping": {"patience": 2}}])
def test_early_stopping_loads_the_best_checkpoint_too(given):
    recipe = load_recipe("digits")
    assert not situation(recipe).best
    assert situation(recipe.model_copy(update={"training": {**recipe.training, **given}})).best
