"""Advice from made-up logs: where a gap opened, what stopping there would have given, and silence where nothing is to be said."""

import pytest

from hfft.evaluate.advice import advice


def log(validation, train=None, accuracy=None):
    train = train or [1 / (i + 1) for i in range(len(validation))]
    found = []
    for i, loss in enumerate(validation):
        at = {"step": 10 * (i + 1), "epoch": float(i + 1)}
        found += [{**at, "loss": train[i]}, {**at, "eval_loss": loss, "eval_accuracy": (accuracy or [0.9] * 9)[i]}]
    return found


def test_a_gap_is_found_where_the_validation_loss_was_lowest():
    lines = advice(log([0.9, 0.5, 0.6, 0.8], accuracy=[0.7, 0.85, 0.84, 0.8]), "accuracy", "image", best_kept=False)
    assert len(lines) == 3
    assert lines[0] == (
        "the gap opened at step 20 (epoch 2): validation loss 0.500 there and 0.800 at the end, training loss 0.500 and 0.250"
    )
    assert "at step 20 validation accuracy was 0.8500, at the end 0.8000" in lines[1]
    assert "strategy.mixup" in lines[2]


def test_a_loss_that_rises_while_the_metric_gains_is_not_called_better():
    lines = advice(log([0.9, 0.5, 0.8], accuracy=[0.7, 0.85, 0.87]), "accuracy", "text", best_kept=False)
    assert "so only the loss gains by it" in lines[1]
    assert "mixup" not in lines[2]


def test_options_that_are_set_already_are_not_named():
    history = log([0.9, 0.5, 0.8], accuracy=[0.7, 0.85, 0.8])
    last = advice(history, "accuracy", "text", best_kept=True, given=["strategy.r_drop", "layers.train"])[-1]
    assert "strategy.l2_sp.weight" in last
    assert "r_drop" not in last
    assert "last-2" not in last
    everything = ["strategy.r_drop", "layers.train", "strategy.l2_sp"]
    assert len(advice(history, "accuracy", "text", best_kept=True, given=everything)) == 1


def test_the_kept_best_needs_no_early_stopping():
    assert len(advice(log([0.9, 0.5, 0.8]), "accuracy", "text", best_kept=True)) == 2


@pytest.mark.parametrize("validation", [[0.9, 0.5], [0.9, 0.5, 0.51], [0.9, 0.5, 0.5], []])
def test_nothing_is_said_where_there_is_nothing_to_say(validation):
    assert advice(log(validation), "accuracy", "image", best_kept=False) == []


def test_a_training_that_still_gains_may_go_on():
    (line,) = advice(log([0.9, 0.7, 0.5], train=[0.8, 0.6, 0.4]), "accuracy", "image", best_kept=False)
    assert "training.num_train_epochs may be raised" in line
