"""A training that computes only what is read of the last block is the training that computes all of it."""

import pytest
import torch

from hfft import layers
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.train.last_block import LastBlock
from tests.examples import ALL, SINGLE, head_and_depths, tiny
from tests.training import arguments, examples, finetuner, labels_of


def trained(folder, name, train, wanted, kept=None, **settings):
    """A training of three epochs, evaluated after each, and what it said."""
    torch.manual_seed(7)
    model = tiny(name)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, train, None, depths, head_names)
    said = []
    trainer = finetuner(
        model,
        labels_of(SINGLE),
        examples(ALL[name].modality, SINGLE, 20),
        arguments(folder, **{"num_train_epochs": 3, "eval_strategy": "epoch", **settings}),
        depths=depths,
        eval_dataset=examples(ALL[name].modality, SINGLE, 10, seed=3),
        cache_settings=FrozenCacheSettings(kept, 10**9) if kept else None,
        last_block=LastBlock(wanted, said.append),
    )
    trainer.train()
    return trainer, said


def losses(trainer):
    return [log.get("loss", log.get("eval_loss")) for log in trainer.state.log_history]


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("train", ["all", "last-1", "head"])
@pytest.mark.parametrize("name", ["bert", "vit"])
def test_losses_and_weights_are_the_same(name, train, cached, tmp_path):
    whole, silent = trained(tmp_path / "a", name, train, wanted=False)
    kept = tmp_path / "cache" if cached else None
    less, said = trained(tmp_path / "b", name, train, wanted=True, kept=kept)
    assert losses(less)[:-1] == pytest.approx(losses(whole)[:-1], abs=1e-6, rel=1e-6)
    for key, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(less.model.state_dict()[key], tensor, rtol=1e-3, atol=1e-5, msg=key)
    assert (len(silent), len(said)) == (0, 1)
    assert not any("forward" in vars(module) for path, module in less.model.named_modules() if path)
    if cached and train != "all":
        assert less.cache_report["rows"] == 20


@pytest.mark.slow
def test_accumulated_micro_batches_are_the_batch(tmp_path):
    whole, _ = trained(tmp_path / "a", "vit", "all", wanted=True)
    parted, _ = trained(
        tmp_path / "b", "vit", "all", wanted=True, per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    for key, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(parted.model.state_dict()[key], tensor, rtol=1e-4, atol=1e-6, msg=key)


@pytest.mark.slow
def test_a_model_that_reads_every_token_runs_whole(tmp_path):
    trainer, said = trained(tmp_path, "beit", "all", wanted=True)
    assert (trainer.last_block.found, said) == (None, [])
    assert not trainer.last_block.wanted, "it is not looked for again"


@pytest.mark.slow
def test_rows_kept_before_do_not_hinder_it(tmp_path):
    trained(tmp_path / "a", "bert", "last-1", wanted=True, kept=tmp_path / "cache")
    again, said = trained(tmp_path / "b", "bert", "last-1", wanted=True, kept=tmp_path / "cache")
    whole, _ = trained(tmp_path / "c", "bert", "last-1", wanted=False)
    assert len(said) == 1
    assert losses(again)[:-1] == pytest.approx(losses(whole)[:-1], abs=1e-6, rel=1e-6)
