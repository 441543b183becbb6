"""The pieces of a training that can be looked at by themselves, without a step."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hfft import layers
from hfft.errors import BadInput, RunError
from hfft.strategy.method import TASK, At, Batch, Pass, Target
from hfft.strategy.weight import ByGap, Weight
from hfft.train import method_state
from hfft.train.callbacks import EpochLine
from hfft.train.device import lay_out
from hfft.train.finite_check import FiniteCheck
from hfft.train.fsdp import name_units
from hfft.train.load_checkpoint import load_whole
from hfft.train.memory import smaller, split_batch
from hfft.train.module_modes import asked_once
from hfft.train.reader import last_layer
from hfft.train.sanity_check import FEWEST, faults, head_weights
from hfft.train.step_loss import task_loss
from hfft.train.term_log import TermLog
from tests import training
from tests.examples import SINGLE, head_and_depths, tiny
from tests.training import methods_of

# --- micro-batches


@pytest.mark.parametrize(
    ("rows", "most", "parts"), [(48, 20, (16, 3)), (48, 48, (48, 1)), (2, 2, (2, 1)), (7, 6, (1, 7)), (9, 0, (1, 9))]
)
def test_a_batch_is_split_into_the_largest_parts_that_fit(rows, most, parts):
    assert split_batch(rows, lambda micro: micro <= most) == parts


@pytest.mark.parametrize(
    ("size", "accumulation", "found"), [(8, 2, (4, 4)), (2, 1, (1, 2)), (6, 3, (3, 6)), (1, 8, None)]
)
def test_the_next_smaller_micro_batch_keeps_the_global_one(size, accumulation, found):
    assert smaller(size, accumulation) == found


# --- what is logged


def test_terms_are_means_over_the_steps_that_were_taken():
    log = TermLog()
    for values, taken in (((1.0, 2.0), True), ((90.0,), False), ((4.0,), True), ((), False)):
        for value in values:
            log.add("term", torch.tensor(value))
        log.settle(taken)
    assert (log.taken, log.left_out, log.names) == (2, 2, {"term"})
    state = log.state()
    assert state == {"task": None, "sums": {"term": 7.0}, "taken": 2, "left_out": 2, "names": ["term"]}
    other = TermLog()
    other.load(state, torch.device("cpu"))
    for one in (log, other):
        assert one.means(lambda value: value) == {"term": 3.5}
        assert (one.taken, one.left_out, one.means(lambda value: value), one.names) == (0, 0, {}, {"term"})


def told(*events, first=True):
    """The lines of epochs, without their seconds."""
    lines = []
    line = EpochLine(lines.append, ["accuracy", "f1"])
    state = SimpleNamespace(epoch=2.0, num_train_epochs=3, is_world_process_zero=first)
    for name, *logs in events:
        getattr(line, f"on_{name}")(None, state, None, *logs)
    return [said.rpartition("  ")[0] for said in lines]


def test_an_epoch_is_one_line_with_its_losses_and_metrics():
    loss, scored = ("log", {"loss": 2.0}), ("log", {"eval_loss": 0.5, "eval_accuracy": 0.25})
    begun, done = ("epoch_begin",), ("train_end",)
    assert told(begun, loss, ("log", {"loss": 1.0}), scored, done) == [
        "epoch 2/3  loss 1.5000  validation loss 0.5000 accuracy 0.2500"
    ]
    assert told(begun, loss, done) == ["epoch 2/3  loss 2.0000"], "where nothing was validated"
    assert len(told(begun, loss, begun, loss, done)) == 2
    assert told(scored) == told(begun, scored, done, scored)[1:] == [], "outside of training nothing is told"
    assert told(begun, loss, scored, done, first=False) == []


# --- what went wrong


@pytest.mark.parametrize(
    ("losses", "guess", "said"),
    [
        ([2.0, 1.0, 0.5], 1.0, None),
        ([2.0, 1.0, 1.1], 1.0, None),
        ([2.0, 1.0, 1.2], 1.0, "ended at 1.2, above that of a uniform guess (1)"),
        ([2.0, 1.0, math.nan], 1.0, "the training loss ended at nan"),
        ([2.0, 1.0, 9.0], None, "exploded: from 2 via 1 to 9"),
        ([2.0, 0.1, 1.0], None, None),
        ([2.0, 1.9, 2.5], None, None),
        ([], 1.0, None),
    ],
)
def test_a_loss_that_ends_too_high_is_told(losses, guess, said):
    history = [{"loss": loss + 0.5, "term": 0.5} for loss in losses] + [{"eval_loss": 99.0}]
    found = faults(history, guess, ["term", "other"], {}, nn.Linear(1, 1), FEWEST)
    assert found == [] if said is None else said in found[0]
    assert faults(history, guess, ["term"], {}, nn.Linear(1, 1), FEWEST - 1) == []


def test_a_head_that_never_moved_is_told():
    model = tiny("bert")
    before = head_weights(model, head_and_depths(model)[1])
    assert set(before) == {"classifier.weight", "classifier.bias"}
    [line] = faults([], None, [], before, model, 1)
    assert line.startswith("the head never moved")
    assert faults([], None, [], before, model, 0) == []
    with torch.no_grad():
        model.classifier.bias[0] += 1
    assert faults([], None, [], before, model, 1) == []


@pytest.mark.parametrize(("several", "stop"), [(True, 15), (False, 0)])
def test_the_signal_that_the_processes_agreed_on_is_kept(several, stop):
    check = FiniteCheck(torch.device("cpu"), 1, skips=1)
    check.world_size = 2 if several else 1
    assert check._judge(1, [], [0.0, 15.0]) is False
    assert check.asked() == stop
    assert check._judge(2, [], [1.0, 0.0]) is True, "the one that may be left out"
    assert check.asked() == stop
    assert check.skipped == 1


# --- the state of methods


def test_each_method_is_given_what_it_gave_and_its_modules_theirs(tmp_path):
    def method(name):
        found = SimpleNamespace(name=name, own={"mean/x": torch.rand(2)}, inner=nn.ModuleDict({"m": nn.Linear(2, 1)}))
        found.state, found.modules = lambda: found.own, lambda: found.inner
        found.load = lambda state: setattr(found, "own", dict(state))
        found.weight = Weight(ByGap(adapt="gap", start=random.random() + 1))
        return found

    given, taken = [method("a"), method("b")], [method("a"), method("b")]
    method_state.save(given, tmp_path, writes=False)
    assert list(tmp_path.iterdir()) == []
    method_state.save(given, tmp_path, writes=True)
    method_state.load(taken, None)
    assert not torch.equal(taken[0].own["mean/x"], given[0].own["mean/x"])
    method_state.load(taken, str(tmp_path))
    for one, other in zip(given, taken, strict=True):
        assert one.own.keys() == other.own.keys()
        assert torch.equal(one.own["mean/x"], other.own["mean/x"])
        assert torch.equal(one.inner["m"].weight, other.inner["m"].weight)
        assert one.weight.current == other.weight.current


# --- the model


def test_weights_that_a_checkpoint_lacks_are_an_error(tmp_path):
    from safetensors.torch import load_file, save_file

    model = tiny("bert")
    model.save_pretrained(tmp_path)
    other = tiny("bert", seed=1)
    assert load_whole(other, str(tmp_path))
    assert all(torch.equal(p, dict(model.named_parameters())[name]) for name, p in other.named_parameters())
    assert not load_whole(nn.Linear(1, 1), str(tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["classifier.bias"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"lacks classifier\.bias; start over with --fresh"):
        load_whole(other, str(tmp_path))


def test_fsdp_divides_block_by_block_unless_the_launch_says_how():
    plugin = SimpleNamespace(transformer_cls_names_to_wrap=None)
    name_units(plugin, tiny("bert"))
    assert plugin.transformer_cls_names_to_wrap == ["BertLayer"]
    plugin.transformer_cls_names_to_wrap = ["Mine"]
    name_units(plugin, tiny("bert"))
    assert plugin.transformer_cls_names_to_wrap == ["Mine"]
    model = tiny("bert")
    model.get_input_embeddings = lambda: (_ for _ in ()).throw(NotImplementedError)
    with pytest.raises(BadInput, match="BertForSequenceClassification names none; launch without FSDP"):
        name_units(SimpleNamespace(transformer_cls_names_to_wrap=None), model)


def lies_last(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


@pytest.mark.parametrize(("kind", "base"), [("lora", True), ("loha", False)])
def test_beside_convolutions_what_an_adapter_added_lies_as_peft_takes_it(kind, base):
    model = tiny("resnet")
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, "head", {"type": kind}, depths, head_names)
    assert lay_out(model)
    tensors = {name: p for name, p in model.named_parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1}
    bases = [p for name, p in tensors.items() if ".base_layer." in name]
    assert bases
    assert {lies_last(p) for p in bases} == {base}
    assert not any(lies_last(p) for name, p in tensors.items() if "lora_" in name or "hada_" in name)


def test_the_last_layer_is_the_one_that_learns_within_an_adapter_too():
    model = tiny("bert")
    model.later = nn.Linear(1, 1)
    assert last_layer(model) is model.classifier
    head_names, depths = head_and_depths(model)
    adapted = layers.adapt(model, "head", {"type": "lora"}, depths, head_names)
    found = last_layer(adapted)
    assert isinstance(found, nn.Linear)
    assert found is adapted.base_model.model.classifier.modules_to_save["default"]


def test_what_the_loop_asks_of_the_tree_is_at_hand_inside_alone():
    model = tiny("bert")
    with asked_once(model):
        assert "train" in vars(model)
        assert list(model.parameters()) == list(type(model).parameters(model))
        model.train()
        assert all(module.training for module in model.modules())
        model.eval()
        assert not any(module.training for module in model.modules())
    assert not {"train", "parameters"} & set(vars(model))
    bare = nn.Sequential(nn.Linear(1, 1))
    with asked_once(bare):
        assert "train" in vars(bare)
    model.__class__ = type("Kernels", (type(model),), {"use_kernels": True})  # whose `train()` does more
    with asked_once(model):
        assert "train" not in vars(model)


# --- what methods are told


@pytest.mark.parametrize(
    ("augmentation", "strategy", "fixed"),
    [
        (None, {}, True),
        (None, {"ema": 0.9}, True),
        ("crop", {}, False),
        (None, {"mixup": 0.2}, False),
        ("crop", {"mixup": 0.2}, False),
    ],
)
def test_inputs_are_the_same_in_every_epoch_unless_something_changes_them(augmentation, strategy, fixed, tmp_path):
    class Rows(list):
        step = SimpleNamespace(augmentation=augmentation)

    rows = Rows(training.examples("image", SINGLE, 3))
    settings = training.arguments(tmp_path, seed=7, per_device_train_batch_size=2, num_train_epochs=4)
    labels, methods = training.labels_of(SINGLE), methods_of(**strategy)
    trainer = training.finetuner(tiny("vit"), labels, rows, settings, methods=methods, sets={"target": [1, 2]})
    found = trainer.setting
    assert found.fixed_inputs is fixed
    assert (found.rows, found.sets, found.seed, found.outputs) == (3, {"target": 2}, 7, 3)
    assert found.epochs == 4
    assert found.head_names == {"classifier.weight", "classifier.bias"}
    assert found.class_names == labels.names


def test_the_task_loss_is_of_own_rows_and_all_targets_by_their_factors():
    labels, at = torch.tensor([0, 1, 1]), At(0, 0, 0.0, 0)
    targets = [Target(labels, torch.tensor([0.25, 1.0, 9.0])), Target(labels, None, "other")]
    seen = Pass({TASK: torch.tensor([1.0, 2.0]), "other": torch.tensor([5.0, 7.0])}, {}, {}, labels[:2], None, {}, at)
    batch = Batch({}, [TASK, "other"], labels, targets, None, 2, at)
    rows = []

    def loss_of_row(logits, labels, at):
        rows.append(len(labels))
        return logits

    assert task_loss(seen, batch, loss_of_row) == 0.25 * 1 + 2 + 5 + 7
    batch.targets = targets[:1]
    assert task_loss(seen, batch, loss_of_row) == 0.25 * 1 + 2
    assert set(rows) == {2}
