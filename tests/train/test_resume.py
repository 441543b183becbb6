"""A run that stops at a checkpoint and goes on ends where it would have ended without a stop, bit by bit."""

import json

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import TrainerCallback, ViTImageProcessorPil

from hfft import layers
from hfft.data.augment import grammar
from hfft.data.modality.image import ImageCollate, ImageRows, ImageStep
from hfft.data.stream import Stream
from hfft.errors import RunError
from hfft.runs import checkpoint as seal
from hfft.runs.signals import Stopped
from hfft.train import FineTuner
from tests import forked
from tests.examples import ALL, EVERY, SIDE, SINGLE, head_and_depths, tiny
from tests.forked import ROOT
from tests.torture.runs import equal
from tests.training import Pull, arguments, collate, examples, finetuner, labels_of, methods_of


class Stop(TrainerCallback):
    """Ends a run as a killed process would: at once."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step + 1:
            raise KeyboardInterrupt


def images(count=10, stream=False, augmented=True, sized=True):
    """Rows of images that are augmented, as the workflow prepares them."""
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)) for _ in range(count)]
    columns = {"image": pictures, "labels": [i % 3 for i in range(count)], "row": list(range(count))}
    rows = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    steps = grammar.compose(["random_crop", "horizontal_flip"]) if augmented else None
    step = ImageStep(processor, "image", "train", steps, 42)
    if stream:
        stored = rows.cast_column("image", datasets.Image(decode=False)).to_iterable_dataset(num_shards=2)
        return Stream(stored.shuffle(42, buffer_size=1), count if sized else None, step.of_cells, buffer=4)
    return ImageRows(rows, step)


def trainer_of(
    folder,
    name,
    train="all",
    adapter=None,
    callbacks=(),
    seed=0,
    stream=False,
    skips=0,
    augmented=True,
    schedule=None,
    keeping=None,
    count=10,
    **settings,
):
    """A run with everything that has a state: dropout, augmentation, AdamW, a schedule, a term."""
    torch.manual_seed(100 + seed)  # another process has drawn other numbers by then
    model = tiny(name, dropout=0.1, seed=0)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, train, adapter, depths, head_names)
    image = ALL[name].modality == "image"
    start = {key: p.detach().clone() for key, p in model.named_parameters()}
    return FineTuner(
        model,
        arguments(
            folder,
            optim="adamw_torch",
            learning_rate=0.01,
            lr_scheduler_type="linear",
            per_device_train_batch_size=4,
            num_train_epochs=3,
            **{
                "save_strategy": "steps",
                **settings,
            },
        ),
        ImageCollate(SINGLE) if image else collate,
        images(count, stream, augmented, sized="max_steps" not in settings)
        if image
        else examples("text", SINGLE, count),
        images(4) if image else None,
        labels=labels_of(SINGLE),
        depths=depths,
        methods=[Pull(0.1, start), *(methods_of(non_finite={"skip": skips}) if skips else [])],
        callbacks=[*callbacks],
        schedule=schedule,
        cache_settings=keeping,
    )


def outcome(trainer):
    """Everything a run ends with: weights, optimiser, scheduler, log history without times."""
    clock = ("_runtime", "_per_second")
    history = [{k: v for k, v in log.items() if not k.endswith(clock)} for log in trainer.state.log_history]
    optimizer, scheduler = trainer.optimizer.state_dict(), trainer.lr_scheduler.state_dict()
    return {"model": trainer.model.state_dict(), "optimizer": optimizer, "scheduler": scheduler, "log": history}


def resumed(folder, stops, *args, **settings):
    """The last of the trainings that it takes when each is killed in the step after a checkpoint, the last one not."""
    checkpoint = None
    for seed, stop in enumerate(stops):
        with pytest.raises(KeyboardInterrupt):
            trainer_of(folder, *args, callbacks=[Stop(stop)], seed=seed, **settings).train(checkpoint)
        checkpoint = str(folder / f"checkpoint-{stop}")
        assert str(seal.newest(folder).path) == checkpoint
    last = trainer_of(folder, *args, seed=9, **settings)
    last.train(checkpoint)
    return last


LORA = {"train": "head", "adapter": {"type": "lora", "r": 2, "lora_dropout": 0.1}}


@pytest.mark.sampled(14)
# Ten examples make three batches an epoch: step 3 is its end, 4 the middle of the next; with accumulation 2, two steps.
@pytest.mark.slow_but("bert-changes26-stops26")
@pytest.mark.parametrize(
    ("name", "changes", "stops"),
    [
        ("bert", {}, (3,)),
        ("bert", {}, (4,)),
        ("bert", {}, (2, 4)),
        ("bert", {"gradient_accumulation_steps": 2}, (3,)),
        ("bert", {"gradient_accumulation_steps": 2}, (1, 3)),
        ("bert", {"train": "last-1"}, (4,)),
        ("bert", LORA, (4,)),
        ("bert", LORA, (3, 6)),
        ("vit", {}, (3,)),
        ("vit", {}, (4,)),
        ("vit", {}, (4, 8)),
        ("vit", {"gradient_accumulation_steps": 2}, (3,)),
        ("vit", {"dataloader_num_workers": 2}, (4,)),
        ("vit", {"dataloader_num_workers": 2}, (3, 6)),
        ("vit", LORA, (3,)),
        ("vit", {"stream": True}, (3,)),
        ("vit", {"stream": True}, (4,)),
        ("vit", {"stream": True}, (2, 6)),
        ("vit", {"stream": True, "gradient_accumulation_steps": 2}, (3,)),
        ("vit", {"stream": True, "dataloader_num_workers": 2}, (4, 8)),
        ("resnet", {}, (4,)),
        ("resnet", {"train": "last-2"}, (4,)),
        ("bert", {"train": "head", "adapter": {"type": "adalora", "init_r": 6, "target_r": 2, "tfinal": 2}}, (4,)),
        ("bert", {"train": "head", "adapter": {"type": "adalora", "init_r": 6, "target_r": 2, "tfinal": 6}}, (4,)),
        ("vit", {"train": "head", "adapter": {"type": "vera", "r": 4}}, (4,)),
        ("vit", {"train": "head", "adapter": {"type": "ln_tuning"}}, (4,)),
        ("bert", {"train": "head", "adapter": {"type": "prompt_tuning", "num_virtual_tokens": 4}}, (4,)),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(name, changes, stops, tmp_path):
    changes = {**changes, "save_steps": stops[0], "logging_steps": 5, "save_total_limit": 3}
    whole = trainer_of(tmp_path / "whole", name, **changes)
    whole.train()
    last = resumed(tmp_path / "parts", stops, name, **changes)
    expected, found = outcome(whole), outcome(last)
    assert [key for key in expected if not equal(expected[key], found[key])] == []


@pytest.fixture(scope="module")
def resumed_in_two(tmp_path_factory):
    """What a kill changes, case by case, in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    forked.two_processes(ROOT / "tests/train/resume_cases.py", folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_resumed_within_an_epoch_that_does_not_divide_end_with_the_same_bits(rank, resumed_in_two):
    found = resumed_in_two[rank]
    assert len(found) >= 11
    assert {name: differing for name, differing in found.items() if differing} == {}


@pytest.mark.slow
def test_an_epochs_evaluation_that_a_kill_swallowed_is_made_up_for(tmp_path):
    changes = {"save_steps": 3, "eval_strategy": "epoch", "metric_for_best_model": "loss", "logging_strategy": "epoch"}
    whole = trainer_of(tmp_path / "whole", "vit", **changes)
    whole.train()
    last = resumed(tmp_path / "parts", (3, 6), "vit", **changes)
    assert [log["step"] for log in last.state.log_history if "eval_loss" in log] == [3, 6, 9]
    expected, found = outcome(whole), outcome(last)
    assert [key for key in expected if not equal(expected[key], found[key])] == []


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"max_steps": 7}])
def test_a_run_that_was_killed_after_its_last_step_takes_no_other(changes, tmp_path):
    changes = {"save_steps": 7, "eval_strategy": "epoch", **changes}
    whole = trainer_of(tmp_path, "vit", **changes)
    whole.train()
    again = trainer_of(tmp_path, "vit", seed=1, **changes)
    again.train(str(seal.newest(tmp_path).path))
    expected, found = outcome(whole), outcome(again)
    assert [key for key in expected if not equal(expected[key], found[key])] == []


EPOCHS = {"eval_strategy": "epoch"}


class Asked(TrainerCallback):
    """Stands for a signal that arrives in a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.trainer.finite_check.asked = lambda: 15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "changes"),
    [(4, {}), (9, {}), (4, EPOCHS), (9, EPOCHS), (8, {"max_steps": 8}), (8, {**EPOCHS, "max_steps": 8})],
)
def test_a_run_that_a_signal_stopped_leaves_the_same_state(step, changes, tmp_path):
    changes = {"save_strategy": "epoch", "logging_steps": 1, **changes}
    whole = trainer_of(tmp_path / "whole", "vit", **changes)
    whole.train()
    asked = Asked(step)
    stopped = asked.trainer = trainer_of(tmp_path / "parts", "vit", callbacks=[asked], **changes)
    with pytest.raises(Stopped):
        stopped.train()
    again = trainer_of(tmp_path / "parts", "vit", seed=1, **changes)
    again.train(str(seal.newest(tmp_path / "parts").path))
    assert again.state.global_step == whole.state.global_step
    assert again.state.stateful_callbacks["TrainerControl"] == whole.state.stateful_callbacks["TrainerControl"]


@pytest.mark.slow
def test_workers_change_nothing(tmp_path):
    found = []
    for workers in (0, 2):
        trainer = trainer_of(tmp_path, "vit", save_strategy="no", save_steps=1, dataloader_num_workers=workers)
        trainer.train()
        found.append(outcome(trainer))
    assert [key for key in found[0] if not equal(found[0][key], found[1][key])] == []


@pytest.mark.slow
def test_augmentation_follows_the_epoch_and_repeats_itself(tmp_path):
    def seen(resume=None):
        trainer = trainer_of(tmp_path, "vit", save_steps=4)
        epochs = []
        rows, ordinary = trainer.train_dataset, trainer.train_dataset.step
        rows.step = lambda image, row: epochs.append((row, ordinary.epoch)) or ordinary(image, row)
        rows.step.column, rows.step.split, rows.step.decoded = ordinary.column, ordinary.split, ordinary.decoded
        rows.set_epoch = lambda epoch: setattr(ordinary, "epoch", epoch)
        trainer.train(resume_from_checkpoint=resume)
        return epochs

    whole = seen()
    assert [epoch for _, epoch in whole] == [0] * 10 + [1] * 10 + [2] * 10
    resumed = seen(str(tmp_path / "checkpoint-4"))
    # The batch that was trained before the stop is read again and dropped.
    assert resumed[-16:] == whole[-16:]
    assert {epoch for _, epoch in resumed} == {1, 2}


@pytest.mark.parametrize("name", EVERY)
def test_every_weight_comes_back_from_a_checkpoint(name, tmp_path):
    trained = finetuner(tiny(name, seed=1), labels_of(SINGLE), [], arguments(tmp_path))
    trained.save_model(str(tmp_path / "checkpoint-1"))
    resumed = finetuner(tiny(name, seed=2), labels_of(SINGLE), [], arguments(tmp_path))
    resumed._load_from_checkpoint(str(tmp_path / "checkpoint-1"))
    expected, found = trained.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "bert"])
@pytest.mark.parametrize("adapter", [None, {"type": "lora", "r": 2}])
def test_the_best_model_is_loaded_at_the_end_to_the_last_weight(name, adapter, tmp_path):
    kept = {}

    class Keep(TrainerCallback):
        def on_save(self, args, state, control, model=None, **kwargs):
            kept[state.global_step] = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    model = tiny(name)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, "head" if adapter else "all", adapter, depths, head_names)
    rows = examples(ALL[name].modality, SINGLE, 8)
    settings = arguments(
        tmp_path,
        num_train_epochs=3,
        metric_for_best_model="loss",
        greater_is_better=True,  # the wrong way round, so that the last checkpoint is not the one
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
    )
    trainer = finetuner(model, labels_of(SINGLE), rows, settings, depths=depths, eval_dataset=rows, callbacks=[Keep()])
    trainer.train()
    losses = {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}
    best = max(losses, key=losses.get)
    assert best < 3
    found = trainer.model.state_dict()
    assert [key for key, tensor in kept[best].items() if not torch.equal(tensor, found[key])] == []


def test_a_checkpoint_that_lacks_a_weight_is_not_continued_from(tmp_path):
    model = tiny("bert")
    state = {key: tensor for key, tensor in model.state_dict().items() if "layer.1" not in key}
    model.save_pretrained(tmp_path / "checkpoint-1", state_dict=state)
    trainer = finetuner(model, labels_of(SINGLE), [], arguments(tmp_path))
    with pytest.raises(RunError, match=r"lacks bert\.encoder\.layer\.1\."):
        trainer._load_from_checkpoint(str(tmp_path / "checkpoint-1"))
