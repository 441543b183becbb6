"""Texts that are augmented: a run that is killed and goes on, and any number of loader workers, read the same."""

import pytest
import torch

from hfft.data.texts import TextCollate
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.layers import adapt
from hfft.runs import checkpoint as seal
from tests.data.test_text_augment import rows_of
from tests.examples import SINGLE, head_and_depths, tiny
from tests.torture.runs import equal
from tests.train.test_resume import Stop, outcome
from tests.training import arguments, finetuner, labels_of


def trainer_of(folder, callbacks=(), seed=0, train="all", views=None, **settings):
    torch.manual_seed(100 + seed)
    rows, words = rows_of()
    model = tiny("bert", dropout=0.1, seed=0, vocab_size=len(words))
    head_names, depths = head_and_depths(model)
    adapt(model, train, None, depths, head_names)
    said = []
    kept = None if views is None else FrozenCacheSettings(folder / "cache", 10**9, views, said.append)
    more = {"optim": "adamw_torch", "num_train_epochs": 3, "save_strategy": "steps", **settings}
    given = arguments(folder, train_sampling_strategy="group_by_length", **more)
    trainer = finetuner(
        model, labels_of(SINGLE), rows, given, depths=depths, callbacks=[*callbacks], cache_settings=kept
    )
    trainer.data_collator, trainer.said = TextCollate(words, SINGLE), said
    return trainer


@pytest.mark.slow
def test_killed_and_resumed_is_uninterrupted_to_the_bit(tmp_path):
    straight = trainer_of(tmp_path / "a", save_steps=7)
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        trainer_of(tmp_path / "b", [Stop(7)], seed=1, save_steps=7).train()
    assert str(seal.newest(tmp_path / "b").path).endswith("checkpoint-7")
    resumed = trainer_of(tmp_path / "b", seed=2, save_steps=7)
    resumed.train(str(tmp_path / "b" / "checkpoint-7"))
    assert equal(outcome(straight), outcome(resumed))


@pytest.mark.slow
def test_workers_train_as_the_main_process(tmp_path):
    runs = []
    for workers in (0, 2):
        trainer = trainer_of(tmp_path / str(workers), save_strategy="no", dataloader_num_workers=workers)
        trainer.train()
        runs.append(outcome(trainer))
    assert equal(*runs)


@pytest.mark.slow
def test_views_of_texts_are_stored_and_shown_in_turn(tmp_path):
    trainer = trainer_of(tmp_path, train="head", views=2, save_strategy="no", num_train_epochs=4)
    trainer.train()
    assert trainer.cache_report["rows"] == trainer.cache_report["of"] == 80, trainer.said
    plain = trainer_of(tmp_path / "off", train="head", views=0, save_strategy="no")
    plain.train()
    assert "augmented rows differ in every epoch" in plain.said[0]
