"""What the trainer tells, what it optimises, and how it evaluates."""

import math
import re

import pytest
import torch
from transformers import TrainerCallback

from hfft import layers
from hfft.train.callbacks import EpochLine
from tests.examples import ALL, EVERY, MULTI, PROBLEMS, SINGLE, head_and_depths, tiny
from tests.train.split_cases import MASKED, Case, examples_of, model_of
from tests.training import arguments, collate, examples, finetuner, labels_of, methods_of


def trainer_of(folder, name="bert", problem=SINGLE, count=8, callbacks=(), rows=None, methods=(), **settings):
    rows = rows or examples(ALL[name].modality, problem, count)
    return finetuner(
        tiny(name),
        labels_of(problem),
        rows,
        arguments(folder, **settings),
        eval_dataset=rows,
        callbacks=[*callbacks],
        methods=methods,
    )


# --- one line per epoch


def lines_of(folder, metrics=(), **settings):
    lines = []
    trainer_of(folder, callbacks=[EpochLine(lines.append, metrics)], **settings).train()
    return lines


@pytest.mark.slow
def test_each_epoch_is_told_in_one_line(tmp_path):
    lines = lines_of(tmp_path, num_train_epochs=3, eval_strategy="epoch")
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(rf"epoch {number}/3  loss \d\.\d{{4}}  validation loss \d\.\d{{4}}   \d+\.\d s", line)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_an_epoch_without_validation_is_told_as_well(strategy, tmp_path):
    lines = lines_of(tmp_path, num_train_epochs=3, eval_strategy="no", logging_strategy=strategy)
    assert [re.sub(r"\d\.\d{4}|\d+\.\d s", "*", line) for line in lines] == [
        f"epoch {number}/3  loss *  *" for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_validation_within_an_epoch_is_told_each_time_and_the_epoch_not_again(tmp_path):
    lines = lines_of(tmp_path, per_device_train_batch_size=2, num_train_epochs=1, eval_strategy="steps", eval_steps=2)
    assert [line.split()[1] for line in lines] == ["0.5/1", "1/1"]


def test_the_line_holds_the_losses_of_its_own_epoch_and_the_metrics_asked_for():
    class State:
        epoch, num_train_epochs, is_world_process_zero, global_step = 0.0, 2, True, 0

    lines, state = [], State()
    told = EpochLine(lines.append, ["accuracy"])
    for epoch, losses in ((1.0, (4.0, 2.0)), (2.0, (1.0, 0.5))):
        told.on_epoch_begin(None, state, None)
        for loss in losses:
            told.on_log(None, state, None, {"loss": loss})
        state.epoch = epoch
        told.on_log(None, state, None, {"eval_loss": 0.25, "eval_accuracy": 0.5, "eval_other": 9.0})
    told.on_train_end(None, state, None)
    assert [line.rpartition("  ")[0] for line in lines] == [
        "epoch 1/2  loss 3.0000  validation loss 0.2500 accuracy 0.5000",
        "epoch 2/2  loss 0.7500  validation loss 0.2500 accuracy 0.5000",
    ]


def test_an_evaluation_outside_of_training_and_other_processes_say_nothing(tmp_path):
    class Other:
        epoch, num_train_epochs, is_world_process_zero = 1.0, 1, False

    lines = []
    trainer_of(tmp_path, callbacks=[EpochLine(lines.append, [])]).evaluate()
    told = EpochLine(lines.append, [])
    told.on_epoch_begin(None, Other(), None)
    told.on_train_end(None, Other(), None)
    assert lines == []


@pytest.mark.slow
@pytest.mark.parametrize("bars", [True, False])
def test_nothing_else_is_printed(bars, tmp_path, capsys):
    trainer_of(tmp_path, disable_tqdm=not bars, eval_strategy="epoch").train()
    out, err = capsys.readouterr()
    assert out == ""
    assert "{" not in err, "no dictionaries among the bars"
    assert bool(err) is bars


# --- the optimiser


@pytest.mark.parametrize("optim", ["adamw_torch", "sgd", "adafactor"])
def test_the_optimiser_learns_in_groups_by_depth_the_heads_first(optim, tmp_path):
    model = tiny("bert")
    _, depths = head_and_depths(model)
    settings = arguments(tmp_path, optim=optim, weight_decay=0.1, learning_rate=0.01)
    rules = {"layer_decay": 0.5, "head_lr_scale": 3.0}
    trainer = finetuner(model, labels_of(SINGLE), examples("text", SINGLE, 8), settings, depths=depths, lr_rules=rules)
    found = trainer.create_optimizer().param_groups
    wanted = layers.param_groups(model, depths, 0.01, 0.1, **rules)
    assert [(g["lr"], g["weight_decay"]) for g in found] == [(g["lr"], g["weight_decay"]) for g in wanted]
    assert found[0]["lr"] == pytest.approx(0.03)
    assert [[id(p) for p in g["params"]] for g in found] == [[id(p) for p in g["params"]] for g in wanted]


@pytest.mark.slow
def test_the_logged_rate_is_the_heads(tmp_path):
    trainer = trainer_of(tmp_path, learning_rate=0.01)
    trainer.lr_rules = {"layer_decay": 0.5, "head_lr_scale": 3.0}
    trainer.train()
    assert trainer.state.log_history[0]["learning_rate"] == pytest.approx(0.03)


def test_frozen_parameters_are_not_in_the_optimiser(tmp_path):
    model = tiny("bert")
    head_names, depths = head_and_depths(model)
    layers.adapt(model, "head", None, depths, head_names)
    trainer = finetuner(model, labels_of(SINGLE), examples("text", SINGLE, 8), arguments(tmp_path), depths=depths)
    assert sum(len(group["params"]) for group in trainer.create_optimizer().param_groups) == len(ALL["bert"].head)


@pytest.mark.slow
def test_what_is_unfrozen_while_training_wakes_up(tmp_path):
    model = tiny("bert", dropout=0.1)
    head_names, depths = head_and_depths(model)
    layers.adapt(model, "head", None, depths, head_names)
    modes = []

    class Unfreeze(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            modes.append(model.bert.training)
            model.requires_grad_(True)

    settings = arguments(tmp_path, num_train_epochs=3)
    finetuner(
        model, labels_of(SINGLE), examples("text", SINGLE, 8), settings, depths=depths, callbacks=[Unfreeze()]
    ).train()
    assert modes == [False, True, True]


# --- evaluation


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", ["bert", "gpt2", "vit", "resnet"])
def test_the_loss_of_an_evaluation_is_the_plain_mean_without_what_training_adds(name, problem, tmp_path):
    extra = {"label_smoothing_factor": 0.3} if problem == SINGLE else {}
    methods = methods_of(l2_sp=1.0, **({"focal": 2.0} if problem == SINGLE else {}))
    trainer = trainer_of(tmp_path, name, problem, count=6, methods=methods, per_device_eval_batch_size=3, **extra)
    batch = collate(examples(ALL[name].modality, problem, 6))
    model = tiny(name)
    model.config.problem_type = problem
    with torch.no_grad():
        expected = model(**batch).loss.item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        assert trainer.compute_loss(trainer.model.eval(), batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_what_a_model_keeps_from_an_evaluation_can_be_trained_with(tmp_path):
    model = tiny("beit", patch_size=16)  # keeps its table of positions for each size; no other test has this one
    rows = examples("image", SINGLE, 8)
    settings = arguments(tmp_path, num_train_epochs=1, eval_on_start=True)
    trainer = finetuner(model, labels_of(SINGLE), rows, settings, eval_dataset=rows)
    trainer.train()
    assert trainer.state.global_step == 1


@pytest.mark.parametrize("name", EVERY)
def test_predictions_are_the_logits_alone(name, tmp_path):
    rows = examples(ALL[name].modality, MULTI, 5)
    found = trainer_of(tmp_path, name, MULTI, rows=rows, per_device_eval_batch_size=2).predict(rows)
    with torch.no_grad():
        model = tiny(name)
        expected = torch.cat(
            [model(**{k: v for k, v in collate([row]).items() if k != "labels"}).logits for row in rows]
        )
    torch.testing.assert_close(torch.as_tensor(found.predictions), expected, rtol=1e-4, atol=1e-5)


def test_masked_tokens_are_handed_on_as_loss_and_count_of_each_example(tmp_path):
    case = Case("bert", MASKED, 8)
    rows = examples_of(case)
    trainer = finetuner(model_of(case), labels_of(MASKED), rows, arguments(tmp_path), eval_dataset=rows)
    sums, counts = torch.as_tensor(trainer.predict(rows).predictions).T
    assert counts.tolist() == [int((row["labels"] != -100).sum()) for row in rows]
    assert math.isfinite(sums.sum())
    assert sums[counts == 0].abs().sum() == 0


def test_rows_without_labels_are_predicted_without_a_loss(tmp_path):
    trainer = trainer_of(tmp_path)
    inputs = {k: v for k, v in collate(examples("text", SINGLE, 2)).items() if k != "labels"}
    loss, logits, labels = trainer.prediction_step(trainer.model.eval(), inputs, False)
    assert (loss, labels) == (None, None)
    assert logits.shape == (2, 3)
