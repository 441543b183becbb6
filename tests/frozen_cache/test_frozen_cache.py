"""A training whose frozen layers run once per row is the training in which they run in every step."""

import random
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, TrainerCallback

from hfft import layers
from hfft.backbone.edit import edit
from hfft.data.modality.image import ImageCollate
from hfft.frozen_cache import folder as cache
from hfft.frozen_cache.cached_dataset import STATE, CachedDataset
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.frozen_cache.split_point import Cut
from hfft.frozen_cache.trace import NotCuttable
from hfft.train.device import lay_out
from tests.examples import ALL, MULTI, REGRESSION, SINGLE, head_and_depths, tiny
from tests.train.test_resume import Stop, images
from tests.training import arguments, collate, examples, finetuner, labels_of


@pytest.fixture
def records(monkeypatch):
    """The number of rows of each pass in front of a cut while training; those of the search are not among them."""
    found, record = [], Cut.record

    def counted(self, model, inputs):
        found.append(len(next(iter(inputs.values()))))
        return record(self, model, inputs)

    monkeypatch.setattr("hfft.frozen_cache.frozen_cache.Cut.record", counted)
    return found


def trained(
    folder,
    name,
    train,
    kept=None,
    adapter=None,
    problem=SINGLE,
    callbacks=(),
    count=20,
    run=True,
    edits=(),
    freeze=(),
    **settings,
):
    """A training with dropout, evaluated after each epoch; `kept` is the folder of the cache."""
    torch.manual_seed(7)
    modality = ALL[name].modality
    sample, held_out = (
        fitting(rows, edits) for rows in (examples(modality, problem, count), examples(modality, problem, 10, seed=3))
    )
    batch = {key: value for key, value in collate(sample[:4]).items() if key != "labels"}
    model, _ = edit.edit(tiny(name, dropout=0.1), list(edits), None, lambda _: batch)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, train, adapter, depths, head_names, freeze)
    said = []
    trainer = finetuner(
        model,
        labels_of(problem),
        settings.pop("rows", None) or sample,
        arguments(
            folder,
            **{
                "num_train_epochs": 3,
                "eval_strategy": "epoch",
                **settings,
            },
        ),
        depths=depths,
        eval_dataset=held_out,
        cache_settings=FrozenCacheSettings(kept, 10**9, say=said.append) if kept else None,
        callbacks=[*callbacks],
        live_norms=settings.pop("live_norms", False),
    )
    trainer.said = said
    if run:
        trainer.train()
    return trainer


def fitting(rows, edits):
    """The rows with images of the size and channels that an edited model takes."""
    for change in edits:
        for row in rows if {"image_size", "channels"} & set(change) else ():
            image = row["pixel_values"][None]
            if "channels" in change:
                row["pixel_values"] = image[0, [i % 3 for i in range(change["channels"])]]
            else:
                row["pixel_values"] = torch.nn.functional.interpolate(image, size=change["image_size"])[0]
    return rows


def losses(trainer):
    return [
        log.get("loss", log.get("eval_loss")) for log in trainer.state.log_history if {"loss", "eval_loss"} & log.keys()
    ]


def assert_same_training(whole, kept, tolerance=1e-6):
    assert losses(kept) == pytest.approx(losses(whole), abs=tolerance, rel=tolerance)
    expected, found = whole.model.state_dict(), kept.model.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def assert_nothing_stays(trainer):
    assert not any("forward" in vars(module) and path for path, module in trainer.model.named_modules())


@pytest.mark.slow_but("vit-head")
@pytest.mark.parametrize("train", ["head", "last-1"])
@pytest.mark.parametrize(
    "name", ["bert", "roberta", "gpt2", "modernbert", "deberta-v2", "vit", "swin", "resnet", "convnext"]
)
def test_every_loss_is_that_of_the_training_without(name, train, tmp_path, records):
    whole = trained(tmp_path / "a", name, train)
    kept = trained(tmp_path / "b", name, train, kept=tmp_path / "cache")
    assert_same_training(whole, kept)
    assert kept.cache_report["rows"] == kept.cache_report["of"] == 20
    assert sum(records[2:]) - 2 <= 20 + 10 + 3, "rows ran more than once"
    assert_nothing_stays(kept)


BOTTLENECK = {"type": "bottleneck", "size": 4}


@pytest.mark.sampled(13)
@pytest.mark.slow
@pytest.mark.parametrize("train", ["head", "last-1"])
@pytest.mark.parametrize(
    ("name", "edits", "freeze", "once"),
    [
        ("bert", [{"insert": "/output$/", "module": BOTTLENECK}], (), None),  # the embeddings alone are no work
        ("bert", [{"insert": r"/layer\.0$/", "module": BOTTLENECK}], (), "block 1 of 3 "),
        ("bert", [{"insert": r"/layer\.2$/", "module": BOTTLENECK}], (), ""),
        ("bert", [{"insert": r"/layer\.\d$/", "module": BOTTLENECK}], ("/inserted/",), ""),
        ("bert", [{"remove": "last-1"}, {"replace": r"/layer\.0/", "with": {"norm": "rms_norm"}}], (), ""),
        ("gpt2", [{"insert": r"/h\.2$/", "module": BOTTLENECK}], (), ""),
        ("vit", [{"insert": r"/layers\.\d+$/", "module": BOTTLENECK}], (), "block 1 of 3 "),
        ("vit", [{"insert": "/embeddings$/", "module": {"type": "prompt", "tokens": 3}}], ("/inserted/",), ""),
        ("vit", [{"insert": "/embeddings$/", "module": {"type": "prompt", "deep": True}}], (), "the embeddings "),
        ("vit", [{"image_size": 48}, {"channels": 4}], (), ""),
        ("swin", [{"insert": r"/blocks\.1$/", "module": {"type": "conv"}}], (), ""),
        ("resnet", [{"insert": r"/stages\.1\.layers\.\d$/", "module": {"type": "squeeze_excite"}}], (), "blocks 1-3 "),
        ("resnet", [{"channels": 1}], (), ""),
    ],
)
def test_an_edited_model_trains_the_same(name, edits, freeze, once, train, tmp_path):
    whole = trained(tmp_path / "a", name, train, edits=edits, freeze=freeze)
    kept = trained(tmp_path / "b", name, train, kept=tmp_path / "cache", edits=edits, freeze=freeze)
    assert_same_training(whole, kept)
    assert_nothing_stays(kept)
    assert kept.cache_report["cut"] is None if once is None else kept.cache_report["cut"].startswith(once)
    assert once is None or kept.cache_report["rows"] == kept.cache_report["of"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("problem", [MULTI, REGRESSION])
def test_other_targets_are_kept_as_well(problem, tmp_path):
    assert_same_training(
        trained(tmp_path / "a", "bert", "head", problem=problem),
        trained(tmp_path / "b", "bert", "head", problem=problem, kept=tmp_path / "cache"),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_accumulation_steps": 2},
        {"train_sampling_strategy": "group_by_length"},
        {"dataloader_num_workers": 1},
        {"dataloader_drop_last": True},
        {"bf16": True},
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        {"eval_on_start": True},
        {"per_device_train_batch_size": 16, "count": 40},
        {"load_best_model_at_end": True, "save_strategy": "epoch", "metric_for_best_model": "loss"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_the_losses_are_the_same_with(changes, tmp_path):
    whole = trained(tmp_path / "a", "bert", "last-2", **changes)
    kept = trained(tmp_path / "b", "bert", "last-2", kept=tmp_path / "cache", **changes)
    assert kept.cache_report["cut"] is not None
    assert_same_training(whole, kept, 1e-2 if "bf16" in changes else 1e-6)


@pytest.mark.slow
def test_adapters_in_the_last_block_train_the_same(tmp_path):
    adapter = {"type": "lora", "r": 2, "target_modules": ["query", "value"], "layers_to_transform": [2]}
    whole = trained(tmp_path / "a", "bert", "head", adapter=adapter)
    kept = trained(tmp_path / "b", "bert", "head", adapter=adapter, kept=tmp_path / "cache")
    assert kept.cache_report["cut"].startswith("blocks 1-2 of 3 run once (cut before block 3, ")
    assert_same_training(whole, kept)


@pytest.mark.slow
def test_dropout_of_an_adapter_draws_the_same_where_maps_are_kept_channels_last(tmp_path):
    adapter = {"type": "lora", "r": 2, "lora_dropout": 0.3, "target_modules": r".*stages\.2.*convolution"}
    runs = []
    for at, kept in (("a", None), ("b", tmp_path / "cache")):
        run = trained(tmp_path / at, "resnet", "head", adapter=adapter, kept=kept, run=False)
        assert lay_out(run.model)
        run.train()
        runs.append(run)
    assert runs[1].cache_report["rows"] == 20
    assert_same_training(*runs)


class Unfreeze(TrainerCallback):
    """Lets the second block learn from the second epoch on, and freezes it again for the fourth."""

    def on_epoch_begin(self, args, state, control, model=None, **kwargs):
        model.bert.encoder.layer[1].requires_grad_(round(state.epoch or 0) in (1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_the_cut_follows_what_learns(workers, tmp_path):
    def run(folder, **changes):
        trainer = trained(
            folder,
            "bert",
            "last-2",
            callbacks=[Unfreeze()],
            num_train_epochs=5,
            run=False,
            dataloader_num_workers=workers,
            **changes,
        )
        trainer.create_optimizer()  # every group is there from the first step on
        trainer.train()
        return trainer

    kept = run(tmp_path / "b", kept=tmp_path / "cache")
    assert_same_training(run(tmp_path / "a"), kept)
    assert [line.partition(",")[0] for line in kept.said] == [
        "cache: blocks 1-2 of 3 run once (cut before block 3",
        "cache: block 1 of 3 runs once (cut before block 2",
        "cache: blocks 1-2 of 3 run once (cut before block 3",
    ]
    folders = cache.entries(tmp_path / "cache")
    assert len(folders) == 6, "refrozen weights are other weights"


@pytest.mark.slow
def test_a_second_run_reads_what_the_first_has_left(tmp_path, records):
    first = trained(tmp_path / "a", "bert", "last-1", kept=tmp_path / "cache")
    del records[:]
    second = trained(tmp_path / "b", "bert", "last-1", kept=tmp_path / "cache")
    assert sum(records) < 20, "only the search runs what is in front of the cut"
    assert losses(first) == losses(second)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


@pytest.mark.slow_but("bert-3-True")
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize(("name", "stop"), [("bert", 3), ("bert", 7), ("resnet", 3)])
def test_a_resumed_run_ends_with_the_same_bits(name, stop, lost, tmp_path):
    changes = {
        "optim": "sgd" if lost else "adamw_torch",  # AdamW makes whole steps of what is zero but for rounding
        "learning_rate": 0.01,
        "save_strategy": "steps",
        "save_steps": stop,
        "per_device_train_batch_size": 5,
    }
    whole = trained(tmp_path / "a", name, "last-1", kept=tmp_path / "one", **changes)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", name, "last-1", kept=tmp_path / "two", callbacks=[Stop(stop)], **changes)
    if lost:
        shutil.rmtree(tmp_path / "two")
    resumed = trained(tmp_path / "b", name, "last-1", kept=tmp_path / "two", run=False, **changes)
    resumed.train(resume_from_checkpoint=str(tmp_path / "b" / f"checkpoint-{stop}"))
    if lost:  # then states are those of other batches, the same but for rounding
        assert_same_training(whole, resumed, 1e-5)
        return
    assert losses(resumed) == losses(whole)
    expected, found = whole.model.state_dict(), resumed.model.state_dict()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


@pytest.mark.slow
def test_damage_is_found_and_computed_again(tmp_path):
    first = trained(tmp_path / "a", "bert", "last-1", kept=tmp_path / "cache")
    for path in (tmp_path / "cache").glob("*/shard-00000.bin"):
        data = bytearray(path.read_bytes())
        for at in range(0, len(data), 997):
            data[at] ^= 0x55
        path.write_bytes(bytes(data))
    assert_same_training(first, trained(tmp_path / "b", "bert", "last-1", kept=tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["weights", "rows", "config"])
def test_nothing_is_taken_from_another_model_or_other_rows(what, tmp_path):
    def run(folder, kept, change):
        rows = examples("text", SINGLE, 20, seed=9 if change and what == "rows" else 0)
        trainer = trained(folder, "bert", "last-1", kept=kept, rows=rows, run=False)
        if change and what == "weights":
            with torch.no_grad():
                trainer.model.bert.encoder.layer[0].output.dense.weight[0, 0] += 0.5
        elif change and what == "config":
            for layer in trainer.model.bert.encoder.layer:
                layer.intermediate.intermediate_act_fn = torch.nn.ReLU()
            trainer.model.config.hidden_act = "relu"
        trainer.train()
        return trainer

    run(tmp_path / "a", tmp_path / "cache", False)
    assert_same_training(run(tmp_path / "b", None, True), run(tmp_path / "c", tmp_path / "cache", True))


# --- augmented images


def augmented(folder, kept, views, epochs=4, **changes):
    rows = images()
    torch.manual_seed(7)
    model = tiny("vit", dropout=0.1)
    head_names, depths = head_and_depths(model)
    layers.adapt(model, "last-1", None, depths, head_names)
    said = []
    trainer = finetuner(
        model,
        labels_of(SINGLE),
        rows,
        arguments(folder, num_train_epochs=epochs, per_device_train_batch_size=4, **changes),
        depths=depths,
        cache_settings=FrozenCacheSettings(kept, 10**9, views, said.append),
    )
    trainer.data_collator = ImageCollate(SINGLE)
    trainer.said = said
    trainer.train()
    return trainer


@pytest.mark.slow
def test_augmented_rows_are_not_kept_unless_views_are_asked_for(tmp_path):
    trainer = augmented(tmp_path, tmp_path / "cache", 0)
    assert trainer.cache_report["cut"] is None
    assert len(trainer.said) == 1
    assert "layers.cache={views: 4}" in trainer.said[0]
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_each_view_is_shown_in_turn_and_computed_once(tmp_path, records):
    trainer = augmented(tmp_path / "a", tmp_path / "cache", 2)
    assert trainer.cache_report["rows"] == trainer.cache_report["of"] == 20
    assert sum(records) <= 20 + 10
    again = augmented(tmp_path / "b", tmp_path / "cache", 2)
    assert losses(trainer) == losses(again)


# --- where it does not apply


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "changes", "why"),
    [
        ("head", {"num_train_epochs": 1}, None),
        ("head", {"max_steps": 2}, None),
        ("all", {}, None),
        ("embeddings", {}, "no frozen layers run before those that learn"),
    ],
)
def test_where_nothing_is_gained_the_run_goes_on_without(train, changes, why, tmp_path):
    whole = trained(tmp_path / "a", "bert", train, **changes)
    kept = trained(tmp_path / "b", "bert", train, kept=tmp_path / "cache", **changes)
    assert kept.said == ([f"cache: off, {why}"] if why else [])
    assert not cache.entries(tmp_path / "cache")
    assert losses(whole) == losses(kept)


@pytest.mark.slow
def test_a_limit_that_is_too_small_is_told(tmp_path):
    trainer = trained(tmp_path / "a", "bert", "last-1", kept=tmp_path / "cache", run=False)
    trainer.cache_settings = FrozenCacheSettings(tmp_path / "cache", 100, say=trainer.said.append)
    trainer.train()
    assert len(trainer.said) == 1
    assert trainer.said[0].startswith("cache: off, it needs ")
    assert trainer.said[0].endswith("above its limit of 100 B")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize(("name", "train"), [("bert", "last-1"), ("vit", "head")])
def test_a_first_batch_that_comes_out_otherwise_turns_it_off(name, train, filled, workers, tmp_path, monkeypatch):
    if filled:  # then batches come from the store without their inputs
        trained(tmp_path / "first", name, train, kept=tmp_path / "cache")
    batch = CachedDataset.batch

    def spoilt(self, numbers):
        values = batch(self, numbers)
        return {name: t.flip(0) + 1 if name.startswith(STATE) else t for name, t in values.items()}

    monkeypatch.setattr(CachedDataset, "batch", spoilt)
    kept = trained(tmp_path / "b", name, train, kept=tmp_path / "cache", dataloader_num_workers=workers)
    assert kept.said[-1] == "cache: off, the outputs of the first batch differ when computed from the cut on"
    assert losses(kept) == losses(trained(tmp_path / "a", name, train))


@pytest.mark.slow
def test_a_forward_that_takes_another_way_turns_it_off(tmp_path, monkeypatch):
    calls, record = [], Cut.record

    def sometimes(self, model, inputs):
        calls.append(1)
        if len(calls) == 6:
            raise NotCuttable("the forward pass took another path than on the probe")
        return record(self, model, inputs)

    monkeypatch.setattr(Cut, "record", sometimes)
    kept = trained(tmp_path / "b", "bert", "last-1", kept=tmp_path / "cache")
    assert kept.said[-1] == "cache: off, the forward pass took another path than on the probe"
    assert losses(kept) == losses(trained(tmp_path / "a", "bert", "last-1"))


# --- what is saved


@pytest.mark.slow
def test_what_is_saved_while_training_and_after_is_whole(tmp_path):
    trainer = trained(tmp_path / "run", "bert", "last-1", kept=tmp_path / "cache", save_strategy="epoch")
    trainer.model.save_pretrained(tmp_path / "model")
    last = max((tmp_path / "run").glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    for folder in (tmp_path / "model", last):
        again = AutoModelForSequenceClassification.from_pretrained(folder)
        expected = trainer.model.state_dict()
        assert again.state_dict().keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())


def test_a_step_that_fails_leaves_the_model_whole(tmp_path):
    class Fail(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            if state.global_step == 4:
                raise ZeroDivisionError

    trainer = trained(tmp_path, "bert", "last-1", kept=tmp_path / "cache", callbacks=[Fail()], run=False)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert trainer.frozen_cache is None
    assert_nothing_stays(trainer)
    assert all(not entry.in_use for entry in cache.entries(tmp_path / "cache"))


@pytest.mark.slow
def test_scores_outside_of_training_run_the_whole_model(tmp_path, records):
    trainer = trained(tmp_path, "bert", "last-1", kept=tmp_path / "cache")
    with torch.no_grad():
        trainer.model.bert.encoder.layer[0].output.dense.weight.mul_(0)
    del records[:]
    before = trainer.evaluate()["eval_loss"]
    assert records == []
    trainer.cache_settings = None
    assert trainer.evaluate()["eval_loss"] == before


@pytest.mark.slow
def test_no_random_number_is_drawn_for_it(tmp_path):
    drawn = []
    for kept in (None, tmp_path / "cache", tmp_path / "cache"):
        random.seed(0)
        np.random.seed(0)
        trained(tmp_path / "run", "bert", "head", kept=kept)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1] == drawn[2]
