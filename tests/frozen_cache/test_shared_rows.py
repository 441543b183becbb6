"""States of rows that another set of rows has in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset

import hfft
from hfft.data.texts import LENGTH, TextRows
from hfft.evaluate.outputs import Outputs
from hfft.frozen_cache.cached_dataset import CachedDataset
from hfft.frozen_cache.shared_rows import KEYS, take_over
from hfft.frozen_cache.store import Field, Store
from tests.studies.fake_runs import tiny

FIELDS = (Field("labels", "int64", ()), Field("state", "float32", (3,), ragged=True))
TOKENS = [[5, 6], [7, 8, 9], [5], [1, 2, 3, 4], [5, 6, 7]]


def text_rows(numbers: list[int], labels: dict[int, int] | None = None) -> TextRows:
    given = {i: i % 2 for i in range(len(TOKENS))} | (labels or {})
    columns = {"input_ids": [TOKENS[i] for i in numbers], "labels": [given[i] for i in numbers]}
    return TextRows(Dataset.from_dict({**columns, LENGTH: [len(TOKENS[i]) for i in numbers]}))


def opened(folder, rows: TextRows) -> Store:
    return Store(folder, FIELDS, len(rows), rows.lengths)


def filled(folder, rows: TextRows, model: str = "m") -> Store:
    """A store whose states are the tokens themselves."""
    store = opened(folder, rows)
    take_over(store, rows, model)
    columns = rows.__getitems__(list(range(len(rows))))
    values = torch.from_numpy(columns["input_ids"][0].astype(np.float32))[:, None].expand(-1, 3)
    store.write(np.arange(len(rows)), {"labels": torch.from_numpy(np.array(columns["labels"][0])), "state": values})
    return store


def test_rows_of_other_sets_are_copied_and_the_rest_is_absent(tmp_path):
    filled(tmp_path / "a", text_rows([0, 1, 2])).close()
    filled(tmp_path / "b", text_rows([4])).close()
    rows = text_rows([3, 2, 4, 0])
    store = opened(tmp_path / "c", rows)
    assert take_over(store, rows, "m")
    assert store.has(np.arange(4)).tolist() == [False, True, True, True]
    assert store.read(np.array([1, 2, 3]))["state"][:, 0].tolist() == [5, 5, 6, 7, 5, 6]
    assert store.read(np.array([1, 2, 3]))["labels"].tolist() == [0, 0, 0]


def test_rows_of_another_model_or_with_another_label_are_not(tmp_path):
    filled(tmp_path / "a", text_rows([0, 1]), model="other").close()
    filled(tmp_path / "b", text_rows([0, 1], labels={0: 9})).close()
    rows = text_rows([0, 1])
    store = opened(tmp_path / "c", rows)
    assert take_over(store, rows, "m")
    assert store.has(np.arange(2)).tolist() == [False, True]
    assert take_over(store, rows, "m"), "it is known of a run that is continued"


def test_a_store_with_states_is_left_as_it_is(tmp_path):
    store = filled(tmp_path / "a", text_rows([0, 1]))
    filled(tmp_path / "b", text_rows([0, 1, 2])).close()
    assert not take_over(store, text_rows([0, 1]), "m")


@pytest.mark.parametrize("damage", ["keys", "no keys", "row"])
def test_damaged_entries_are_as_absent(tmp_path, damage):
    filled(tmp_path / "a", text_rows([0, 1])).close()
    if damage == "keys":
        (tmp_path / "a" / KEYS).write_bytes(b"none")
    elif damage == "no keys":
        np.save(tmp_path / "a" / KEYS, np.zeros(2, np.int64))
    else:
        (shard,) = (tmp_path / "a").glob("shard-*")
        content = bytearray(shard.read_bytes())
        content[64] ^= 255  # in the state of the first row
        shard.write_bytes(content)
    rows = text_rows([0, 1])
    store = opened(tmp_path / "c", rows)
    assert take_over(store, rows, "m") == (damage == "row")
    assert store.has(np.array([1]))[0] == (damage == "row")
    assert not store.has(np.array([0]))[0]


def test_rows_of_another_kind_have_no_keys(tmp_path):
    store = Store(tmp_path / "a", FIELDS[:1], 2)
    assert not take_over(store, [{"labels": 1}, {"labels": 2}], "m")
    assert not (tmp_path / "a" / KEYS).exists()


@pytest.mark.slow
def test_a_run_computes_only_the_rows_that_no_other_run_has_stored(tmp_path, monkeypatch):
    computed, keep = [], CachedDataset.keep

    def counted(self, numbers, batch, states):
        computed.append(len(numbers))
        keep(self, numbers, batch, states)

    monkeypatch.setattr(CachedDataset, "keep", counted)
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))

    def run(name: str, *overrides: str) -> np.ndarray:
        computed.clear()
        fixed = [
            "layers.train=head",
            "training.num_train_epochs=2",
            "data.seed=0",
            f"training.output_dir={tmp_path / name}",
        ]
        folder = hfft.finetune(tiny(*fixed, *overrides)).folder
        return np.array(Outputs.read(folder / "outputs" / "test.safetensors").logits)

    run("few")
    assert sum(computed) == 40 + 40, "train and validation"
    more = run("more", "data.max_train_samples=60")
    assert sum(computed) == 20, "the rows of a smaller sample are among those of a larger one"
    assert run("again", "data.max_train_samples=60") == pytest.approx(more, abs=0), "nothing is computed"
    assert computed == []
    assert run("off", "data.max_train_samples=60", "layers.cache=off") == pytest.approx(more, abs=1e-5)
