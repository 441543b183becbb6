"""Steps that are not finite, memory that runs out, trainings that ended badly."""

import math
import random

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from hfft.errors import Diverged
from hfft.runs import checkpoint
from hfft.tasks.problem import PROBLEMS
from hfft.train.memory import TooLarge, smaller
from hfft.train.sanity_check import faults
from tests.examples import SINGLE
from tests.train.test_resume import outcome, trainer_of


class Spoil(TrainerCallback):
    """Makes loss, gradient or weight of one step NaN or infinite."""

    def __init__(self, what, step):
        self.what, self.step = what, step

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        spoilt = state.global_step + 1 == self.step
        head = [p for p in model.parameters() if p.requires_grad][-1]
        if self.what == "weight" and spoilt:
            with torch.no_grad():
                head[0] = float("nan")
        if self.what == "gradient" and spoilt:
            self.handle = head.register_hook(lambda gradient: gradient * float("inf"))
        if self.what == "loss":
            model.spoilt = spoilt

    def on_step_end(self, *args, **kwargs):
        if self.what == "gradient" and hasattr(self, "handle"):
            self.handle.remove()


def spoilt(folder, name, what, step, **settings):
    """A training whose step `step` is not finite."""
    trainer = trainer_of(folder, name, callbacks=[Spoil(what, step)], **{"save_steps": 1, **settings})
    if what == "loss":
        ordinary = trainer.compute_loss
        trainer.compute_loss = lambda model, *a, **k: (
            ordinary(model, *a, **k) * (float("nan") if getattr(model, "spoilt", False) else 1.0)
        )
    return trainer


@pytest.mark.slow_but("1-loss")
@pytest.mark.parametrize("what", ["loss", "gradient", "weight"])
@pytest.mark.parametrize("step", [1, 2, 5, 9])
def test_a_step_that_is_not_finite_ends_the_run_before_it_counts(what, step, tmp_path):
    trainer = spoilt(tmp_path, "bert", what, step, max_grad_norm=0.0 if step == 5 else 1.0)
    with pytest.raises(Diverged, match=rf"^step {step} is not finite \(loss .*gradient norm .*l2_sp") as error:
        trainer.train()
    assert error.value.exit_code == 3
    assert trainer.state.global_step == step - 1
    newest = checkpoint.newest(tmp_path).path
    assert (checkpoint.step(newest) if newest else 0) == step - 1
    if newest:
        from safetensors.torch import load_file

        assert all(tensor.isfinite().all() for tensor in load_file(newest / "model.safetensors").values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "resnet"])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_skipped_leaves_no_trace(name, what, tmp_path):
    """Weights, statistics and moments are those of the step before."""
    kept = {}

    class Keep(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, optimizer=None, **kwargs):
            weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
            moments = [t.clone() for s in optimizer.state.values() for t in s.values()]
            kept[state.global_step] = weights, moments

    trainer = spoilt(tmp_path, name, what, 3, skips=1)
    trainer.add_callback(Keep())
    trainer.train()
    assert trainer.finite_check.skipped == 1
    (before, moments), (after, moved) = kept[2], kept[3]
    floats = [key for key in before if before[key].is_floating_point()]  # BatchNorm counts the batches it saw
    assert all(torch.equal(before[key], after[key]) for key in floats)
    assert all(map(torch.equal, moments, moved))
    assert any(not torch.equal(after[key], kept[4][0][key]) for key in floats)
    logged = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert all(map(math.isfinite, logged))


@pytest.mark.slow
def test_only_as_many_steps_are_skipped_as_the_recipe_allows(tmp_path):
    trainer = spoilt(tmp_path, "bert", "weight", 2, skips=2, save_strategy="no")
    with pytest.raises(Diverged, match="step 4 is not finite after 2 were skipped"):
        trainer.train()


@pytest.mark.slow
def test_what_was_skipped_before_a_stop_counts_after_it(tmp_path):
    trainer = spoilt(tmp_path, "bert", "gradient", 2, skips=1)
    trainer.train()
    again = trainer_of(tmp_path, "bert", skips=1, save_steps=1)
    again.train(str(checkpoint.newest(tmp_path).path))
    assert again.finite_check.skipped == 1


@pytest.mark.slow
def test_skipping_is_off_where_nothing_is_skipped(tmp_path):
    plain, careful = (trainer_of(tmp_path, "resnet", skips=n, save_strategy="no", save_steps=1) for n in (0, 3))
    found = []
    for trainer in (plain, careful):
        torch.manual_seed(3)
        trainer.train()
        found.append(outcome(trainer))
    assert all(torch.equal(found[0]["model"][key], found[1]["model"][key]) for key in found[0]["model"])


@pytest.mark.slow
def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Break(TrainerCallback):
        def on_optimizer_step(self, args, state, control, model=None, **kwargs):
            if state.global_step == 3:
                with torch.no_grad():
                    next(p for p in model.parameters() if p.requires_grad)[0] = float("inf")

    trainer = trainer_of(tmp_path, "bert", callbacks=[Break()], save_steps=1)
    with pytest.raises(Diverged, match=r"after step 4, 1 tensors are not finite \(bert\.embeddings\.word"):
        trainer.train()
    assert checkpoint.step(checkpoint.newest(tmp_path).path) == 3


class LaterEvent:
    """Stands for a CUDA event."""

    def record(self):
        """Nothing to wait for here."""

    synchronize = record


@pytest.mark.slow
@pytest.mark.parametrize("save_steps", [1, 100])
def test_what_is_read_a_step_late_is_read_before_anything_is_saved(tmp_path, monkeypatch, save_steps):
    """As on a CUDA device: the step has moved the weights by then, but nothing has been written."""
    monkeypatch.setattr(torch.cuda, "Event", LaterEvent)
    trainer = spoilt(tmp_path, "bert", "gradient", 5, save_steps=save_steps, logging_steps=100)
    trainer.finite_check._late = True
    with pytest.raises(Diverged, match=r"^step 5 is not finite"):
        trainer.train()
    assert trainer.state.global_step == 5
    newest = checkpoint.newest(tmp_path).path
    assert (checkpoint.step(newest) if newest else 0) == (4 if save_steps == 1 else 0)


@pytest.mark.slow
def test_reading_late_changes_no_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", LaterEvent)
    found = []
    for late in (False, True):
        trainer = trainer_of(tmp_path, "bert", save_strategy="no", save_steps=1)
        trainer.finite_check._late = late
        trainer.train()
        found.append(outcome(trainer)["model"])
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


# --- memory


@pytest.mark.parametrize(
    ("size", "accumulation", "expected"),
    [(8, 1, (4, 2)), (6, 2, (4, 3)), (9, 1, (3, 3)), (5, 2, (2, 5)), (1, 4, None)],
)
def test_the_global_batch_stays(size, accumulation, expected):
    assert smaller(size, accumulation) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_memory_that_runs_out_says_what_trains_the_same(error, tmp_path):
    trainer = trainer_of(tmp_path, "bert", save_steps=1)

    def fail(*args, **kwargs):
        raise error

    trainer.compute_loss = fail
    with pytest.raises(TooLarge, match=r"per_device_train_batch_size=2 and training\.gradient_accumulation_steps=2"):
        trainer.train()


# --- verdict


def history(*losses, **terms):
    return [{"loss": loss, **terms} for loss in losses]


@pytest.mark.parametrize(
    ("losses", "steps", "said"),
    [
        ((1.2, 1.0, 0.5), 100, None),
        ((1.1, 1.1, 1.3), 100, "above that of a uniform guess"),
        ((1.1, 1.1, 1.3), 10, None),
        ((0.3, 0.1, 0.9), 100, "exploded: from 0.3 via 0.1 to 0.9"),
        ((0.3, 0.1, float("nan")), 100, "ended at nan"),
        ((1.1,), 100, None),
    ],
)
def test_a_loss_that_ended_badly_is_a_fault(losses, steps, said):
    found = faults(history(*losses), PROBLEMS[SINGLE].uniform(3), [], {}, nn.Linear(1, 1), steps)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def by_epochs(count, epochs, loss):
    """Logs at even distances over the epochs."""
    return [{"loss": loss(i / count), "epoch": (i + 1) * epochs / count} for i in range(count)]


def test_one_heavy_batch_at_the_end_is_no_fault():
    rng = random.Random(0)

    def heavy(share):  # one row in 31 weighs 15.5 and the others 0.517, in batches of 8, while the loss falls
        weights = [15.5 if rng.random() < 1 / 31 else 0.517 for _ in range(8)]
        return (0.7 - 0.4 * share) * sum(weights) / 8

    guess = PROBLEMS[SINGLE].uniform(2)
    for _ in range(200):
        logs = by_epochs(97, 3, heavy)
        logs[-1]["loss"] = 1.2
        assert faults(logs, guess, [], {}, nn.Linear(1, 1), 100) == []


@pytest.mark.parametrize("epochs", [0.3, 1, 3, 50])
def test_a_run_that_learns_nothing_is_a_fault_however_long_it_is(epochs):
    rng = random.Random(0)
    logs = by_epochs(100, epochs, lambda share: rng.uniform(0.8, 1.2))
    assert "above that of a uniform guess" in faults(logs, math.log(2), [], {}, nn.Linear(1, 1), 100)[0]


def test_a_bad_start_of_the_only_epoch_is_no_fault():
    logs = by_epochs(100, 1, lambda share: 20 if share < 0.1 else 0.3)
    assert faults(logs, math.log(2), [], {}, nn.Linear(1, 1), 100) == []


def test_terms_are_no_part_of_the_comparison():
    logs = history(2.0, 1.5, l2_sp=1.0)
    assert faults(logs, math.log(3), ["l2_sp"], {}, nn.Linear(1, 1), 100) == []
    assert len(faults(logs, math.log(3), [], {}, nn.Linear(1, 1), 100)) == 1


def test_a_head_that_never_moved_is_a_fault():
    model = nn.Linear(2, 2)
    before = {"weight": model.weight.detach().clone()}
    assert faults([], None, [], before, model, 5) == [
        "the head never moved: all its weights are the same as before training"
    ]
    assert faults([], None, [], before, model, 0) == []
    with torch.no_grad():
        model.weight[0, 0] += 1
    assert faults([], None, [], before, model, 5) == []
