"""Rows of one group are in one split: shares, folds, columns and names of files."""

import numpy as np
import pytest
from datasets import Dataset

from hfft.data import load_splits
from hfft.data.load import Splits
from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.tasks.table import TASKS
from tests import sounds

TEXT = TASKS["text-classification"]


def texts(folder, speakers=12, each=10):
    """Rows of speakers; each speaker says every class."""
    rng = np.random.default_rng(0)
    rows = [(f"s{i}", f"w{k % 3}", f"said {rng.integers(10**9)}") for i in range(speakers) for k in range(each)]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    names = ("speaker", "label", "text")
    folder.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict({name: [row[k] for row in rows] for k, name in enumerate(names)}).to_csv(folder / "train.csv")
    return {row[2]: row[0] for row in rows}


def speakers_of(splits: Splits, speaker: dict[str, str]):
    return {name: {speaker[str(row["text"])] for row in rows} for name, rows in splits.items()}


def load(folder, **more):
    return load_splits(Data(path=str(folder), columns={"group": "speaker"}, **more), TEXT, 1)[0]


def test_no_speaker_is_in_two_splits_and_the_shares_are_nearly_those_asked_for(tmp_path):
    speaker = texts(tmp_path / "d")
    splits = load(tmp_path / "d", validation=0.2, test=0.25)
    found = speakers_of(splits, speaker)
    assert not found["train"] & found["validation"]
    assert not (found["train"] | found["validation"]) & found["test"]
    assert (splits.sizes["test"], splits.sizes["validation"]) == (30, 20)
    counts = splits.classes["test"].values()
    assert max(counts) - min(counts) <= 3
    assert ", by speaker, seed 1" in splits.origin["test"]
    again = load(tmp_path / "d", validation=0.2, test=0.25)
    assert [row["row"] for row in again.test] == [row["row"] for row in splits.test]


def test_every_speaker_is_in_one_fold(tmp_path):
    speaker = texts(tmp_path / "d")
    seen = []
    for number in (1, 2, 3):
        fold = {"of": 3, "number": number, "seed": 0}
        found = speakers_of(load(tmp_path / "d", fold=fold, validation=0.2), speaker)
        assert not found["train"] & found["test"]
        assert not found["validation"] & (found["train"] | found["test"])
        seen += found["test"]
    assert sorted(seen) == sorted(set(speaker.values()))


def test_no_shot_is_of_a_speaker_who_is_held_out(tmp_path):
    speaker = texts(tmp_path / "d")
    for seed in range(5):
        splits = load(tmp_path / "d", validation=0.3, test=0.3, shots=4, shots_seed=seed)
        found = speakers_of(splits, speaker)
        assert splits.sizes["train"] == 12
        assert not found["train"] & (found["validation"] | found["test"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"columns": {"group": "speker"}},
            "data.columns.group: no column 'speker' in split train; did you mean 'speaker'",
        ),
        ({"fold": {"of": 20, "number": 1}}, "12 groups of data.columns.group cannot be divided into 20 folds"),
        ({"columns": {"group": "/^s/"}}, "data.columns.group: a row has no file"),
    ],
)
def test_groups_that_are_not_there_are_said(changes, said, tmp_path):
    texts(tmp_path / "d")
    given = {"columns": {"group": "speaker"}, "validation": "none" if "fold" in changes else 0.2, **changes}
    with pytest.raises(DataError, match=said):
        load_splits(Data(path=str(tmp_path / "d"), **given), TEXT, 1)


def test_a_single_group_cannot_be_divided(tmp_path):
    texts(tmp_path / "d", speakers=1)
    with pytest.raises(DataError, match=r"data.validation: 1 groups of data.columns.group are too few"):
        load(tmp_path / "d", validation=0.2)


def test_speakers_are_read_from_the_names_of_files(tmp_path):
    folder = tmp_path / "words"
    for word in ("yes", "no"):
        for speaker in range(6):
            for take in range(3):
                sounds.put(folder / word / f"anna{speaker}_nohash_{take}.wav", 200 + 10 * take, 0.1, seed=take)
    data = Data(path=str(folder), columns={"group": "/^([^_]+)_/"}, validation=0.34, test="none")
    splits, _ = load_splits(data, TASKS["audio-classification"], 1)
    assert (splits.sizes["train"], splits.sizes["validation"]) == (24, 12)
    wrong = Data(path=str(folder), columns={"group": "/^(bert[^_]*)_/"}, validation=0.34, test="none")
    with pytest.raises(DataError, match="does not match"):
        load_splits(wrong, TASKS["audio-classification"], 1)
