"""A run that stops early stops at the same step however often it was killed, keeps the best model, and says why."""

import pytest

from hfft.errors import BadInput
from hfft.recipe import load_recipe
from hfft.train import training_arguments
from hfft.train.early_stopping import EarlyStopping, stopped_early
from tests.examples import SINGLE, tiny
from tests.torture.runs import equal
from tests.train.test_resume import Stop, outcome
from tests.training import arguments, examples, finetuner, labels_of

CHANGES = {"eval_strategy": "steps", "save_strategy": "steps", "save_total_limit": 20}


def trainer_of(folder, patience=2, threshold=0.0, callbacks=(), steps=2, rate=2.0, **changes):
    """A training whose loss on other rows soon rises: the labels are random."""
    settings = {
        **CHANGES,
        "eval_steps": steps,
        "save_steps": steps,
        "learning_rate": rate,
        "num_train_epochs": 12,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        **changes,
    }
    return finetuner(
        tiny("bert", dropout=0.1, seed=0),
        labels_of(SINGLE),
        examples("text", SINGLE, 20),
        arguments(folder, **settings),
        eval_dataset=examples("text", SINGLE, 8, seed=3),
        callbacks=[EarlyStopping(patience, threshold), *callbacks],
    )


def figures(trainer):
    """Validation loss at each evaluation."""
    return {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}


def expected_stop(losses, patience, threshold=0.0):
    """The step at which a run with these losses stops, computed again."""
    best, count = None, 0
    for step, loss in losses.items():
        count = 0 if best is None or best - loss > threshold else count + 1
        best = loss if best is None else min(best, loss)
        if count == patience:
            return step
    return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All evaluations of a run that never stops early."""
    trainer = trainer_of(tmp_path_factory.mktemp("whole"), patience=10**6)
    trainer.train()
    return trainer


@pytest.mark.slow_but("2-0.0")
@pytest.mark.parametrize(("patience", "threshold"), [(1, 0.0), (2, 0.0), (3, 0.05)])
def test_it_stops_where_the_figures_of_the_whole_run_say_and_keeps_the_best(patience, threshold, whole, tmp_path):
    losses = figures(whole)
    stop = expected_stop(losses, patience, threshold)
    assert stop is not None
    assert stop < whole.state.max_steps
    trainer = trainer_of(tmp_path, patience, threshold)
    trainer.train()
    before = {step: loss for step, loss in losses.items() if step <= stop}
    assert trainer.state.global_step == stop
    assert figures(trainer) == before
    best = min(before, key=before.get)
    assert trainer.state.best_global_step == best
    assert trainer.evaluate()["eval_loss"] == pytest.approx(before[best], rel=1e-6)
    found = stopped_early(trainer)
    assert (found["step"], found["best_step"]) == (stop, best)
    assert f"after step {stop} of {whole.state.max_steps}" in found["why"]
    assert f"the model is that of step {best}, loss {before[best]:.4f}" in found["why"]


def test_a_run_to_its_last_step_has_not_stopped_early(whole):
    assert stopped_early(whole) is None


@pytest.mark.parametrize("accumulation", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_run_stops_at_the_same_step_with_the_same_bits(accumulation, tmp_path):
    changes = {"gradient_accumulation_steps": accumulation, "patience": 2, "steps": 2 if accumulation == 1 else 1}
    straight = trainer_of(tmp_path / "straight", **changes)
    straight.train()
    end = straight.state.global_step
    assert stopped_early(straight) is not None
    every = changes["steps"]
    for stop in (every, end - every):  # between them the count is 0 and 1
        with pytest.raises(KeyboardInterrupt):
            trainer_of(tmp_path / str(stop), callbacks=[Stop(stop)], **changes).train()
        again = trainer_of(tmp_path / str(stop), **changes)
        again.train(str(tmp_path / str(stop) / f"checkpoint-{stop}"))
        assert again.state.global_step == end
        assert equal(outcome(straight), outcome(again))
        assert stopped_early(again) == stopped_early(straight)


def test_a_run_killed_after_the_evaluation_that_ended_it_takes_no_other_step(tmp_path):
    straight = trainer_of(tmp_path)
    straight.train()
    end = straight.state.global_step
    again = trainer_of(tmp_path)
    again.train(str(tmp_path / f"checkpoint-{end}"))
    assert again.state.global_step == end
    assert figures(again) == figures(straight)
    assert equal(again.model.state_dict(), straight.model.state_dict())
    assert stopped_early(again) == stopped_early(straight)


def test_it_implies_evaluation_and_that_the_best_model_is_kept(tmp_path):
    folder = f"training.output_dir={tmp_path}"
    found = training_arguments(load_recipe("digits", folder, "training.early_stopping=3"))
    assert (found.eval_strategy, found.save_strategy, found.load_best_model_at_end) == ("epoch", "epoch", True)
    given = ("training.eval_strategy=steps", "training.eval_steps=7")
    found = training_arguments(load_recipe("digits", folder, "training.early_stopping=3", *given))
    assert (found.save_strategy, found.eval_steps, found.save_steps) == ("steps", 7, 7)


def test_a_number_is_the_patience():
    short, long = (
        load_recipe("digits", f"training.early_stopping={said}") for said in ("3", "{patience: 3, threshold: 0}")
    )
    assert short.training_keys == long.training_keys
    assert short.training_keys.early_stopping.patience == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["early_stopping=0"], "early_stopping: is 0; expected greater than or equal to 1"),
        (
            ["early_stopping={patience: 2, treshold: 1}"],
            "early_stopping.treshold: unknown key; did you mean 'threshold'",
        ),
        (["early_stopping={threshold: 1}"], "early_stopping.patience: missing"),
        (["early_stoping=3"], "early_stoping: unknown key; did you mean 'early_stopping'"),
        (["early_stopping=3", "eval_strategy=no"], "early_stopping: needs evaluations, but eval_strategy is no"),
        (["early_stopping=3", "load_best_model_at_end=false"], "early_stopping: keeps the best model; leave"),
        (["early_stopping=3", "save_strategy=steps"], "early_stopping: keeps the best model, so save_strategy (steps)"),
    ],
)
def test_what_contradicts_it_is_refused(given, said):
    with pytest.raises(BadInput) as caught:
        load_recipe("digits", *(f"training.{one}" for one in given))
    assert f"training.{said}" in str(caught.value)


def test_it_is_refused_without_validation():
    with pytest.raises(BadInput, match=r"training.early_stopping: needs a validation split"):
        load_recipe("digits", "data.validation=none", "training.early_stopping=3")
