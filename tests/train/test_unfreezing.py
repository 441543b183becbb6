"""Layers that learn by a schedule: frozen until their moment, and resumed as if there had been no stop."""

import pytest
import torch
from transformers import TrainerCallback

from hfft import layers
from hfft.errors import RunError
from hfft.layers import Moment
from hfft.layers.spec import Schedule
from hfft.train import unfreezing
from tests.examples import ALL, SINGLE, head_and_depths, tiny
from tests.train.split_cases import Case, run, worst
from tests.training import arguments, examples, finetuner, labels_of

HEAD_FIRST = Schedule(type="head-then-all", head_epochs=1)
GRADUAL = Schedule(type="gradual", every=0.5)
SURGICAL = Schedule(type="surgical", batches=2)
WITHIN = Schedule(type="head-then-all", head_steps=4, head_learning_rate=0.05)


class Watch(TrainerCallback):
    """Keeps the weights after each step, the rates and gradients of each, and may stop as a killed process would."""

    def __init__(self, stop=None):
        self.stop, self.weights, self.gradients, self.states = stop, [], [], []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients.append({n for n, p in model.named_parameters() if p.grad is not None})

    def on_step_end(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.weights.append({key: tensor.clone() for key, tensor in model.state_dict().items()})
        with_state = {id(p) for p, found in optimizer.state.items() if found}
        self.states.append({n for n, p in model.named_parameters() if id(p) in with_state})
        if state.global_step == self.stop:
            raise KeyboardInterrupt


def trainer_of(folder, name="bert", schedule=None, train="all", adapter=None, callbacks=(), seed=0, **settings):
    """Ten examples, three steps an epoch, three epochs, AdamW with decay, dropout, a warm-up and a decline."""
    torch.manual_seed(100 + seed)
    model = tiny(name, dropout=0.1)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, train, adapter, depths, head_names)
    given = {
        "optim": "adamw_torch",
        "learning_rate": 0.01,
        "weight_decay": 0.1,
        "lr_scheduler_type": "linear",
        "per_device_train_batch_size": 4,
        "num_train_epochs": 3,
        **settings,
    }
    return finetuner(
        model,
        labels_of(SINGLE),
        examples(ALL[name].modality, SINGLE, 10),
        arguments(folder, **given),
        depths=depths,
        schedule=schedule,
        callbacks=[*callbacks],
    )


def logged(trainer):
    keys = ("step", "loss", "grad_norm", "learning_rate")
    return [{key: log[key] for key in keys} for log in trainer.state.log_history if "loss" in log]


def same(left, right):
    """Whether two sets of tensors are the same bits."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


# --- equivalences


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
def test_what_begins_at_the_start_is_no_schedule(name, tmp_path):
    plain = trainer_of(tmp_path, name)
    plain.train()
    followed = trainer_of(tmp_path, name, GRADUAL)
    followed.follow.begins = dict.fromkeys(followed.follow.begins, Moment())
    followed.train()
    assert same(plain.model.state_dict(), followed.model.state_dict())
    assert logged(plain) == logged(followed)


@pytest.mark.slow_but("schedule0-3-vit")
@pytest.mark.parametrize("name", ["bert", "vit", "resnet", "gpt2"])
@pytest.mark.parametrize(("schedule", "flip"), [(HEAD_FIRST, 3), (Schedule(type="head-then-all", head_steps=4), 4)])
def test_up_to_the_flip_the_head_trains_as_if_it_were_alone(name, schedule, flip, tmp_path):
    alone, first = Watch(), Watch()
    trainer_of(tmp_path, name, train="head", callbacks=[alone]).train()
    trainer_of(tmp_path, name, schedule, callbacks=[first]).train()
    assert [same(*pair) for pair in zip(alone.weights, first.weights, strict=True)] == [True] * flip + [False] * (
        9 - flip
    )


@pytest.mark.slow
def test_gradual_trains_as_last_n_until_the_next_blocks_begin(tmp_path):
    last, gradual = Watch(), Watch()
    schedule = Schedule(type="gradual", every_steps=4, blocks=2)
    trainer_of(tmp_path, "bert", schedule, train="last-2", callbacks=[last]).train()
    trainer_of(tmp_path, "bert", schedule, callbacks=[gradual]).train()
    assert [same(*pair) for pair in zip(last.weights, gradual.weights, strict=True)] == [True] * 8 + [False]


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("name", "schedule", "changes"),
    [
        ("bert", HEAD_FIRST, {}),
        ("resnet", HEAD_FIRST, {}),
        ("bert", WITHIN, {"gradient_accumulation_steps": 2, "num_train_epochs": 5}),
        ("bert", HEAD_FIRST, {"train": "head", "adapter": {"type": "lora", "r": 2}}),
        ("vit", GRADUAL, {}),
        ("bert", SURGICAL, {}),
    ],
    ids=["head-then-all", "batch-norm", "accumulated", "adapter", "gradual", "surgical"],
)
def test_a_run_resumed_at_any_point_ends_with_the_same_bits(name, schedule, changes, tmp_path):
    changes = {**changes, "save_strategy": "steps", "save_steps": 1}
    whole = trainer_of(tmp_path, name, schedule, **changes)
    whole.train()
    for stop in (1, 2, 3, 4, 5):  # in the first phase, at the flip, after it; at the end of an epoch and within one
        resumed = trainer_of(tmp_path / "resumed", name, schedule, seed=stop, **{**changes, "save_strategy": "no"})
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{stop}"))
        assert same(whole.model.state_dict(), resumed.model.state_dict()), stop
        assert logged(resumed) == logged(whole), stop


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [Schedule(type="gradual", every_steps=1), SURGICAL], ids=["gradual", "surgical"])
@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
def test_a_batch_trains_the_same_whole_and_in_micro_batches(name, schedule, tmp_path):
    case = Case(name, SINGLE, 16, schedule=schedule)
    found = worst(run(case, tmp_path, 8, 1), run(case, tmp_path, 2, 4))
    assert found["gradients"] < 1e-12
    assert found["weights"] < 1e-12


# --- frozen until then


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
def test_what_waits_has_no_gradient_no_state_and_does_not_move(name, tmp_path):
    watch = Watch()
    trainer = trainer_of(tmp_path, name, GRADUAL, callbacks=[watch], lr_scheduler_type="constant")
    before = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}
    trainer.train()
    depth_of = {key: trainer.depths.of(key) for key in before}
    parameters = {key for key, _ in trainer.model.named_parameters()}
    for i, weights in enumerate(watch.weights):
        epoch = i // 3 + (i % 3) / 3
        learning = {key for key in before if trainer.follow.begins[depth_of[key]].reached(epoch, i)}
        if i < 6:
            assert learning < set(before)
        assert watch.gradients[i] <= learning
        assert watch.states[i] <= learning
        assert [key for key in before if key not in learning and not torch.equal(before[key], weights[key])] == []
        assert not same({k: before[k] for k in learning & parameters}, {k: weights[k] for k in learning & parameters})
    assert (trainer.follow.early, trainer.follow.waited > 0) == ([], True)
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 9])
def test_what_moves_before_its_turn_is_told(steps, tmp_path):
    class Meddle(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            if state.global_step == 1:
                model.get_parameter("bert.encoder.layer.0.output.dense.bias").data[0] += 1

    trainer = trainer_of(tmp_path, "bert", HEAD_FIRST, callbacks=[Meddle()], max_steps=steps)
    trainer.train()
    assert trainer.follow.early == ["bert.encoder.layer.0.output.dense.bias"]


@pytest.mark.slow
def test_live_statistics_are_no_early_move(tmp_path):
    trainer = trainer_of(tmp_path, "resnet", HEAD_FIRST)
    trainer.live_norms = True
    trainer.train()
    assert trainer.follow.early == []


# --- rates


@pytest.mark.slow
def test_the_heads_own_rate_ends_with_its_phase(tmp_path):
    trainer = trainer_of(tmp_path, "bert", WITHIN)
    trainer.train()
    plain = trainer_of(tmp_path, "bert")
    plain.train()
    found, schedule = ([log["learning_rate"] for log in logged(t)] for t in (trainer, plain))
    assert found[:4] == pytest.approx([5 * rate for rate in schedule[:4]])
    assert found[4:] == schedule[4:]


@pytest.mark.slow
def test_a_rate_of_its_own_is_the_learning_rate_of_a_run_of_the_head_alone(tmp_path):
    alone, first = Watch(), Watch()
    trainer_of(tmp_path, "bert", train="head", learning_rate=0.05, callbacks=[alone]).train()
    trainer_of(tmp_path, "bert", WITHIN, callbacks=[first]).train()
    for left, right in list(zip(alone.weights, first.weights, strict=True))[:4]:
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_surgical_takes_each_depth_at_its_share_of_the_rate(tmp_path):
    watch = Watch()
    trainer = trainer_of(
        tmp_path, "bert", SURGICAL, callbacks=[watch], optim="sgd", weight_decay=0.0, lr_scheduler_type="constant",
        max_grad_norm=0.0, max_steps=1,
    )  # fmt: skip
    gradients = {}

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            gradients.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    trainer.add_callback(Keep())
    before = {key: tensor.clone() for key, tensor in trainer.model.named_parameters()}
    parts = layers.shares(unfreezing.measure(trainer, SURGICAL, 0))
    assert max(parts.values()) == 1.0
    assert 0 < min(parts.values()) < 1
    trainer.train()
    for key, gradient in gradients.items():
        rate = 0.01 * parts.get(trainer.depths.of(key), 1.0)
        torch.testing.assert_close(trainer.model.get_parameter(key).detach(), before[key] - rate * gradient)


@pytest.mark.slow
def test_measuring_leaves_no_trace_in_training(tmp_path, monkeypatch):
    plain = trainer_of(tmp_path, "bert")
    plain.train()
    monkeypatch.setattr(unfreezing, "shares", lambda relative: dict.fromkeys(relative, 1.0))
    measured = trainer_of(tmp_path, "bert", SURGICAL)
    measured.train()
    assert same(plain.model.state_dict(), measured.model.state_dict())
    assert logged(plain) == logged(measured)


def test_relative_gradients_are_measured_anew_each_epoch_and_the_same_each_time(tmp_path):
    trainer = trainer_of(tmp_path, "bert", SURGICAL)
    first, second = unfreezing.measure(trainer, SURGICAL, 0), unfreezing.measure(trainer, SURGICAL, 1)
    assert unfreezing.measure(trainer, SURGICAL, 0) == first != second


@pytest.mark.slow
def test_a_head_that_passes_no_gradient_on_cannot_choose(tmp_path):
    trainer = trainer_of(tmp_path, "bert", SURGICAL)
    for name in ALL["bert"].head:
        torch.nn.init.zeros_(trainer.model.get_parameter(name))
    with pytest.raises(RunError, match="no gradient reaches the layers below the head"):
        trainer.train()
