"""What `hfft show` tells of the cache is what a run tells before its first step."""

from types import SimpleNamespace

import pytest
import torch

from hfft.frozen_cache.describe import ONCE, describe, describe_ahead, search
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.frozen_cache.split_point import Cut
from hfft.layers.schedules.moments import begins
from hfft.layers.spec import Schedule
from hfft.strategy import logits_of
from hfft.train import training_arguments
from hfft.train.arguments import describe_open
from tests.examples import SINGLE, head_and_depths, tiny
from tests.frozen_cache.test_frozen_cache import trained
from tests.train.test_train_arguments import recipe
from tests.training import arguments, examples, finetuner, labels_of


@pytest.mark.slow
@pytest.mark.parametrize("train", ["head", "last-1"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "vit", "resnet"])
def test_it_is_what_the_training_then_says(name, train, tmp_path):
    trainer = trained(tmp_path / "run", name, train, kept=tmp_path / "cache", run=False)
    before = {n: t.clone() for n, t in trainer.model.state_dict().items()}
    modes = [(p.requires_grad) for p in trainer.model.parameters()], [m.training for m in trainer.model.modules()]
    line = describe_ahead(trainer, logits_of)
    assert not (tmp_path / "cache").exists(), "nothing is written"
    assert modes == (
        [p.requires_grad for p in trainer.model.parameters()],
        [m.training for m in trainer.model.modules()],
    )
    assert all(torch.equal(before[n], t) for n, t in trainer.model.state_dict().items())
    trainer.train()
    assert trainer.said == [line]
    assert "run once" in line or "runs once" in line


@pytest.mark.parametrize(
    ("stands", "told"),
    [
        ((), "the embeddings run once (cut before block 1, 50% of the work)"),
        (("embeddings",), "the embeddings run once (cut before block 1, 50% of the work)"),
        (("embeddings", "encoder.layer.0"), "block 1 of 3 runs once (cut before block 2, 50% of the work)"),
        (("encoder.layer.0", "encoder.layer.1"), "blocks 1-2 of 3 run once (cut before block 3, 50% of the work)"),
        (("encoder.layer.2",), "everything before the head runs once (50% of the work)"),
        (("encoder.layer.1", "pooler"), "everything before the head runs once (50% of the work)"),
    ],
)
def test_a_cut_is_told_by_the_deepest_block_in_front_of_it(stands, told):
    model = tiny("bert")
    depths = head_and_depths(model)[1]
    for part, where in ((model, "bert."), (model.bert, "")):  # a path may begin the name of a parameter
        cut = Cut({f"{where}{path}": (None, ()) for path in stands}, None, (), 0.5, 1.0, {})
        of = depths.of if where else lambda name: depths.of(f"bert.{name}")
        assert describe(cut, part, SimpleNamespace(of=of, blocks=depths.blocks)) == told


def test_what_needs_exactly_its_limit_is_kept(tmp_path, monkeypatch):
    trainer = trained(tmp_path / "run", "bert", "head", kept=tmp_path / "cache", run=False)
    needed = {}

    def found(*args):
        needed["bytes"] = (found := search(*args)).needed
        return found

    monkeypatch.setattr("hfft.frozen_cache.describe.search", found)
    kept = describe_ahead(trainer, logits_of)
    trainer.cache_settings = FrozenCacheSettings(tmp_path / "cache", needed["bytes"])
    assert describe_ahead(trainer, logits_of) == kept
    trainer.cache_settings = FrozenCacheSettings(tmp_path / "cache", needed["bytes"] - 1)
    assert describe_ahead(trainer, logits_of).startswith("cache: off, it needs ")


@pytest.mark.slow
def test_with_a_schedule_it_is_the_first_cut(tmp_path):
    model = tiny("bert")
    _, depths = head_and_depths(model)
    schedule, said = Schedule(type="head-then-all", head_epochs=1), []
    assert min(start.epochs for start in begins(schedule, depths.blocks).values()) == 0
    rows = examples("text", SINGLE, 16)
    settings = arguments(tmp_path / "run", num_train_epochs=3)
    keeping = FrozenCacheSettings(tmp_path / "cache", 10**9, say=said.append)
    trainer = finetuner(
        model, labels_of(SINGLE), rows, settings, depths=depths, schedule=schedule, cache_settings=keeping
    )
    line = describe_ahead(trainer, logits_of)
    assert all(p.requires_grad for p in model.parameters())
    trainer.train()
    assert line == f"{said[0]}; the cut moves with the schedule"


@pytest.mark.parametrize(
    ("train", "settings", "limit", "why"),
    [
        ("all", {}, 10**9, "everything learns"),
        ("head", {"num_train_epochs": 1}, 10**9, ONCE),
        ("head", {}, 100, "above its limit of 100 B"),
        ("embeddings", {}, 10**9, "no frozen layers run before those that learn"),
    ],
)
def test_where_nothing_is_kept_it_says_why(train, settings, limit, why, tmp_path):
    trainer = trained(tmp_path / "run", "bert", train, kept=tmp_path / "cache", run=False, **settings)
    trainer.cache_settings = FrozenCacheSettings(tmp_path / "cache", limit)
    line = describe_ahead(trainer, logits_of)
    assert line.startswith("cache: off, ")
    assert line.endswith(why)


def test_what_a_recipe_leaves_open_is_told_in_its_own_words(tmp_path):
    given = recipe(tmp_path, optim="sgd", dataloader_num_workers=2, eval_strategy="no")
    trainer = finetuner(tiny("resnet"), labels_of(SINGLE), examples("image", SINGLE, 4), training_arguments(given))
    open_ = describe_open(given.training, given.backbone.memory_format, trainer)
    assert open_["backbone"] == {"memory_format": "contiguous_format"}
    assert {"bf16", "tf32", "torch_compile", "dataloader_pin_memory", "accelerator_config"} <= set(open_["training"])
    assert open_["training"]["dataloader_prefetch_factor"] == 2
    assert {"optim", "dataloader_num_workers"} & set(open_["training"]) == set()
    fixed = given.model_copy(update={"backbone": given.backbone.model_copy(update={"memory_format": "channels_last"})})
    assert "backbone" not in describe_open(fixed.training, fixed.backbone.memory_format, trainer)
