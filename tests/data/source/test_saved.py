"""Folders that `save_to_disk` wrote: a single set is the train split, with its types."""

from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.errors import DataError

SET = Dataset.from_dict(
    {"text": [f"t{i}" for i in range(20)], "label": [i % 2 for i in range(20)]},
    features=Features(text=Value("string"), label=ClassLabel(names=["neg", "pos"])),
)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_saved_set_is_the_train_split(streaming):
    SET.select(range(5, 20)).save_to_disk("one", num_shards=2)
    splits = load_raw(Data(path="one", streaming=streaming)).splits
    assert list(splits) == ["train"]
    assert splits["train"].features == SET.features
    assert list(splits["train"]) == list(SET.select(range(5, 20)))


def test_saved_splits_keep_their_names():
    DatasetDict({"train": SET, "dev": SET.select(range(3)), "odd_one": SET.select(range(2))}).save_to_disk("all")
    splits = load_raw(Data(path="all")).splits
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 20, "dev": 3, "odd_one": 2}


def test_a_saved_set_that_misses_a_file_is_refused_by_name():
    SET.save_to_disk("one", num_shards=2)
    Path("one/data-00001-of-00002.arrow").unlink()
    with pytest.raises(DataError, match=r"one lists data-00001-of-00002\.arrow, which does not exist"):
        load_raw(Data(path="one"))
    Path("one/state.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"one was not saved in whole"):
        load_raw(Data(path="one"))
