"""Texts batched by length: resumed bit by bit, split over processes, scored in any order alike, in flat memory."""

import resource
import sys

import datasets
import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader, skip_first_batches
from PIL import Image
from torch.utils.data import DataLoader
from transformers import TrainerCallback, ViTImageProcessorPil

from hfft import layers
from hfft.data.augment import grammar
from hfft.data.batch_transform import learn
from hfft.data.modality.image import ImageCollate, ImageRows, ImageStep
from hfft.data.texts import ByLength, TextCollate, TextRows
from hfft.evaluate import Metrics
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.frozen_cache.split_point import Cut
from hfft.train import FineTuner
from hfft.train.device import lay_out
from tests import stand_ins
from tests.examples import SIDE, SINGLE, head_and_depths, tiny
from tests.frozen_cache.test_frozen_cache import losses
from tests.training import arguments, labels_of


def rows_of(count, seed=0):
    """Texts of 3 to 12 tokens."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 13, count)
    ends = np.split(rng.integers(3, 30, lengths.sum()), np.cumsum(lengths)[:-1])
    columns = {"input_ids": [ids.tolist() for ids in ends], "labels": [i % 3 for i in range(count)]}
    return TextRows(datasets.Dataset.from_dict({**columns, "length": lengths.tolist()}))


def trainer_of(folder, rows, seed=0, held=None, callbacks=(), **settings):
    torch.manual_seed(100 + seed)  # another process has drawn other numbers by then
    model, labels = tiny("bert", dropout=0.1), labels_of(SINGLE)
    given = {"optim": "adamw_torch", "learning_rate": 0.01, "per_device_train_batch_size": 4, "num_train_epochs": 3}
    return FineTuner(
        model,
        arguments(
            folder, **{**given, "train_sampling_strategy": "group_by_length", "batch_eval_metrics": True, **settings}
        ),
        TextCollate(stand_ins.tokenizer(), SINGLE),
        rows,
        held,
        compute_metrics=Metrics(labels, ["accuracy", "f1_macro"]),
        labels=labels,
        depths=head_and_depths(model)[1],
        callbacks=[*callbacks],
    )


class Stop(TrainerCallback):
    """Ends a run as a killed process would: at once."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


# Twenty-two texts make six batches an epoch: step 6 is its end, 8 the middle of the next; with accumulation 2, three.
@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize(("accumulation", "stop"), [(1, 6), (1, 8), (2, 4)])
def test_a_resumed_run_ends_with_the_same_bits(accumulation, stop, tmp_path):
    settings = {"save_strategy": "steps", "save_steps": stop, "gradient_accumulation_steps": accumulation}
    whole = trainer_of(tmp_path / "whole", rows_of(22), **settings)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        trainer_of(tmp_path / "parts", rows_of(22), callbacks=[Stop(stop + 1)], **settings).train()
    resumed = trainer_of(tmp_path / "parts", rows_of(22), seed=1, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "parts" / f"checkpoint-{stop}"))
    expected, found = whole.model.state_dict(), resumed.model.state_dict()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


@pytest.mark.slow
def test_each_epoch_has_an_order_of_its_own(tmp_path):
    rows, seen = rows_of(22), []
    fetch = rows.__getitems__
    rows_type = type("Watched", (TextRows,), {"__getitems__": lambda self, i: seen.append(i) or fetch(i)})
    rows.__class__ = rows_type
    trainer_of(tmp_path, rows).train()
    epochs = [sum(seen[i : i + 6], []) for i in range(0, 18, 6)]  # noqa: RUF017
    assert [sorted(epoch) for epoch in epochs] == [list(range(22))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("skipped", [0, 2])
def test_two_processes_read_each_row_once_also_when_they_resume(skipped):
    rows = rows_of(48)
    rows.set_epoch(1)
    order = list(ByLength(rows, 8, 42))
    shares = []
    for process in (0, 1):
        own = rows_of(48)
        loader = DataLoader(own, 4, sampler=ByLength(own, 8, 42), collate_fn=lambda columns: columns)
        loader = prepare_data_loader(loader, num_processes=2, process_index=process, put_on_device=False)
        batches = skip_first_batches(loader, skipped).batch_sampler
        own.set_epoch(1)
        shares.append(list(batches))
    steps = [[*a, *b] for a, b in zip(*shares, strict=True)]
    assert [row for step in steps for row in step] == order[skipped * 8 :]


@pytest.mark.parametrize("batch", [3, 64])
def test_what_is_scored_is_the_same_in_any_order_and_batch(batch, tmp_path):
    rows = rows_of(50)
    labels = labels_of(SINGLE)
    trainer = trainer_of(tmp_path, rows, per_device_eval_batch_size=batch)
    found = trainer.evaluate(rows)
    metrics, model = Metrics(labels, ["accuracy", "f1_macro"]), trainer.model.eval()
    with torch.no_grad():
        for i in range(50):
            inputs = trainer.data_collator([rows[i]])
            target = inputs.pop("labels")
            metrics.update(model(**inputs).logits, target)
    for name, value in metrics.compute().items():
        assert found[f"eval_{name}"] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("labelled", [True, False])
def test_a_batch_of_many_tokens_is_scored_in_parts_as_it_is_whole(labelled, tmp_path, monkeypatch):
    rows = rows_of(50)
    trainer = trainer_of(tmp_path, rows, per_device_eval_batch_size=50)
    if not labelled:
        collate = trainer.data_collator
        trainer.data_collator = lambda batch: {n: t for n, t in collate(batch).items() if n != "labels"}
    sizes = []
    trainer.model.register_forward_pre_hook(
        lambda module, args, inputs: sizes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    trainer.last_block.wanted = False
    loader = trainer.get_eval_dataloader(rows)
    whole, *_ = [trainer.prediction_step(trainer.model.eval(), batch, False) for batch in loader]
    monkeypatch.setattr("hfft.train.batches.TOKENS", 100)
    parts, *_ = [trainer.prediction_step(trainer.model, batch, False) for batch in loader]
    assert sizes[0][0] == 50
    assert len(sizes) > 4
    assert all(rows * tokens <= 100 for rows, tokens in sizes[1:])
    for one, other in zip(whole, parts, strict=True):
        assert (one is None) == (other is None) == (not labelled and one is not whole[1])
        if one is not None:
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_texts_scored(tmp_path):
    unit = 1 if sys.platform == "darwin" else 1024
    rows = {count: rows_of(count) for count in (2_000, 20_000)}
    trainer = trainer_of(tmp_path, rows[2_000], per_device_eval_batch_size=128)
    trainer.evaluate(rows[2_000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found = trainer.evaluate(rows[20_000])
    assert found["eval_n"] == 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < 25 * 2**20


@pytest.mark.slow
def test_no_step_waits_for_the_device(tmp_path, monkeypatch):
    """What hfft does in a step fetches nothing from the device, where it would wait for all that is under way."""
    fetched = []

    def watch(name):
        real = getattr(torch.Tensor, name)

        def watched(self, *args, **kwargs):
            caller = sys._getframe(1).f_code.co_filename
            if "/hfft/" in caller.replace("\\", "/") and not caller.endswith(
                "finite_check.py"
            ):  # asks CUDA a step late
                fetched.append((name, caller, sys._getframe(1).f_lineno))
            return real(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, watched)

    for name in ("item", "cpu", "tolist", "numpy", "__bool__", "__float__"):
        watch(name)
    trainer = trainer_of(tmp_path, rows_of(22), logging_strategy="no", gradient_accumulation_steps=2)
    trainer.train()
    assert fetched == []
    metrics = Metrics(labels_of(SINGLE), ["accuracy"])
    metrics.update(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))
    assert fetched == []
    metrics.compute()
    assert fetched, "the watch sees what is fetched"


# --- with the cache of what is frozen


def kept_trainer(folder, kept, rows=None, seed=0, callbacks=(), train="last-1", name="bert", **settings):
    """A training by length of which only a part learns; `kept` is the folder of the cache."""
    torch.manual_seed(100 + seed)
    model = tiny(name, dropout=0.1, seed=0)
    head_names, depths = head_and_depths(model)
    layers.adapt(model, train, None, depths, head_names)
    image, said = name != "bert", []
    given = {"learning_rate": 0.01, "per_device_train_batch_size": 4, "num_train_epochs": 3, "eval_strategy": "epoch"}
    rows = pictures(22) if image else rows_of(22) if rows is None else rows
    trainer = FineTuner(
        model,
        arguments(
            folder,
            **{
                **given,
                "optim": "adamw_torch",
                "train_sampling_strategy": "random" if image else "group_by_length",
                **settings,
            },
        ),
        ImageCollate(SINGLE) if image else TextCollate(stand_ins.tokenizer(), SINGLE),
        rows,
        pictures(10, 3) if image else rows_of(10, 3),
        labels=labels_of(SINGLE),
        depths=depths,
        callbacks=[*callbacks],
        on_device=rows.step.pixels if image else None,
        cache_settings=FrozenCacheSettings(kept, 10**9, say=said.append) if kept else None,
    )
    trainer.said = said
    return trainer


def pictures(count, seed=0, augmentation=None):
    """Images of several sizes, fitted on the device."""
    rng = np.random.default_rng(seed)
    sizes = [(32, 32), (40, 28), (24, 31)]
    made = [Image.fromarray(rng.integers(0, 256, (*sizes[i % 3], 3), dtype=np.uint8)) for i in range(count)]
    columns = {"image": made, "labels": [i % 3 for i in range(count)], "row": list(range(count))}
    rows = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    pixels = learn(processor)
    assert pixels is not None
    return ImageRows(rows, ImageStep(processor, "image", "train", augmentation, 42, pixels))


@pytest.mark.slow
@pytest.mark.sampled(4)
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("train", ["head", "last-1"])
@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
def test_the_losses_are_those_without_the_cache(name, train, accumulation, tmp_path):
    settings = {"name": name, "train": train, "gradient_accumulation_steps": accumulation}
    found = []
    for cache in (None, tmp_path / "cache"):
        kept = kept_trainer(tmp_path / "run", cache, **settings)
        assert lay_out(kept.model) == (name == "resnet")
        kept.train()
        found.append(losses(kept))
    assert kept.cache_report["rows"] == kept.cache_report["of"] == 22
    assert found[1] == pytest.approx(found[0], abs=1e-6, rel=1e-6)


@pytest.mark.slow
def test_views_of_images_are_fitted_on_the_device_and_kept(tmp_path):
    said, found = [], []
    for folder in ("a", "b"):
        rows = pictures(10, augmentation=grammar.compose(["random_crop", "horizontal_flip"]))
        trainer = kept_trainer(tmp_path / folder, None, rows, name="vit", num_train_epochs=4)
        trainer.train_dataset = rows
        trainer.on_device = rows.step.pixels
        trainer.cache_settings = FrozenCacheSettings(tmp_path / "cache", 10**9, 2, said.append)
        trainer.train()
        assert trainer.cache_report["rows"] == trainer.cache_report["of"] == 20
        found.append(losses(trainer))
    assert found[0] == found[1]


@pytest.mark.slow
def test_what_is_frozen_runs_once_and_the_rows_of_several_batches_together(tmp_path, monkeypatch):
    passes, record = [], Cut.record
    monkeypatch.setattr(
        "hfft.frozen_cache.frozen_cache.Cut.record",
        lambda cut, model, inputs: passes.append(len(inputs["input_ids"])) or record(cut, model, inputs),
    )
    kept = kept_trainer(tmp_path / "run", tmp_path / "cache", rows_of(66), train="head")
    kept.train()
    ran = passes[3:]  # three are the search's
    assert sum(ran) == 66 + len(kept.eval_dataset or ())
    assert ran.count(16) >= 2, "four batches of four"
    assert kept.cache_report["rows"] == 66


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize(("count", "stop"), [(22, 6), (22, 8), (66, 1), (66, 5), (66, 18)])
def test_a_resumed_run_reads_the_cache_in_the_same_order(count, stop, tmp_path):
    settings = {"rows": rows_of(count), "save_strategy": "steps", "save_steps": stop}
    whole = kept_trainer(tmp_path / "whole", tmp_path / "one", **settings)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        kept_trainer(tmp_path / "parts", tmp_path / "two", callbacks=[Stop(stop + 1)], **settings).train()
    resumed = kept_trainer(tmp_path / "parts", tmp_path / "two", seed=1, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "parts" / f"checkpoint-{stop}"))
    assert losses(resumed) == losses(whole)
    expected, found = whole.model.state_dict(), resumed.model.state_dict()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
