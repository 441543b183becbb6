"""The rates fall when the gap of validation and training loss grows, to a limit, beside any scheduler."""

import pytest
from transformers import TrainerCallback

from hfft.layers.spec import Schedule
from hfft.strategy import lr_by_gap
from tests.examples import SINGLE, tiny
from tests.training import arguments, examples, finetuner, labels_of, methods_of

NONE = float("nan")


@pytest.mark.parametrize(
    ("current", "gap", "before", "more", "expected"),
    [
        (1.0, 0.5, NONE, {}, 1.0),  # nothing to compare with
        (1.0, 0.5, 0.4, {}, 0.5),
        (0.5, 0.5, 0.4, {"factor": 0.2}, 0.1),
        (1.0, 0.4, 0.4, {}, 1.0),
        (1.0, 0.3, 0.4, {}, 1.0),
        (0.5, 0.3, 0.4, {}, 0.5),  # it never rises
        (1.0, 0.5, 0.45, {"threshold": 0.1}, 1.0),
        (1.0, 0.6, 0.45, {"threshold": 0.1}, 0.5),
        (0.3, 0.6, 0.45, {"low": 0.2}, 0.2),
        (0.2, 0.6, 0.45, {"low": 0.2}, 0.2),
    ],
)
def test_the_factor_after_an_evaluation(current, gap, before, more, expected):
    assert lr_by_gap(current, gap, before, **more) == pytest.approx(expected)


class Rates(TrainerCallback):
    """The rate of each group in each optimiser step, and what the scheduler is left with."""

    def __init__(self):
        self.used, self.left = [], []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        self.used.append([group["lr"] for group in optimizer.param_groups])

    def on_step_end(self, args, state, control, lr_scheduler=None, **kwargs):
        self.left.append(lr_scheduler.get_last_lr())


def trained(folder, schedule=None, scheduler="linear", **strategy):
    rates = Rates()
    settings = {"eval_strategy": "steps", "eval_steps": 1, "lr_scheduler_type": scheduler, "num_train_epochs": 3}
    trainer = finetuner(
        tiny("bert", dropout=0.0, seed=0),
        labels_of(SINGLE),
        examples("text", SINGLE, 20),
        arguments(folder, **settings),
        eval_dataset=examples("text", SINGLE, 8, seed=3),
        methods=methods_of(**strategy),
        lr_rules={"layer_decay": 0.5},
        schedule=schedule,
    )
    trainer.add_callback(rates)
    trainer.train()
    return trainer, rates


@pytest.mark.parametrize("schedule", [None, Schedule(type="head-then-all", head_steps=2, head_learning_rate=0.4)])
def test_every_group_has_the_schedulers_rate_times_the_factor(schedule, tmp_path):
    _, plain = trained(tmp_path / "plain", schedule)
    trainer, lowered = trained(tmp_path / "lowered", schedule, lr_by_gap={"factor": 0.5, "low": 0.1})
    assert lowered.left == plain.left
    factors = [ours[0] / theirs[0] for ours, theirs in zip(lowered.used, plain.used, strict=True)]
    for ours, theirs, factor in zip(lowered.used, plain.used, factors, strict=True):
        assert ours == pytest.approx([rate * factor for rate in theirs])
    assert factors[0] == 1.0
    assert 0.0999 < factors[-1] < 1.0
    assert factors == sorted(factors, reverse=True)
    logged = [log["learning_rate"] for log in trainer.state.log_history if "learning_rate" in log]
    assert logged == pytest.approx([rates[0] for rates in lowered.used])


def test_a_scheduler_that_follows_the_plateau_starts_from_its_own_rates(tmp_path):
    _, lowered = trained(tmp_path, scheduler="reduce_lr_on_plateau", lr_by_gap=0.5)
    assert all(left[0] == 0.1 for left in lowered.left)
    assert lowered.used[-1][0] < 0.1
