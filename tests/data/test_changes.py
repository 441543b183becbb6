"""Whether data is still what a run noted: cheap where files are untouched, exact where they are not."""

import json
import os
from pathlib import Path

import datasets
import pytest

from hfft.data import changes
from hfft.data.changes import changed_splits, file_state
from hfft.data.fingerprint import fingerprints
from hfft.data.load import load_splits
from hfft.data.spec import Data
from hfft.errors import HfftError
from hfft.tasks.table import TASKS

TASK = TASKS["text-classification"]
FILES = {
    "x.jsonl": {"path": "x.jsonl"},
    "d/x.jsonl": {"path": "d"},
    "e/x.jsonl": {"path": "json", "data_files": "e/*.jsonl"},
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def put(path, word="text"):
    Path(path).parent.mkdir(exist_ok=True)
    rows = [{"text": f"{word} {i}", "label": "ab"[i % 2]} for i in range(20)]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def noted(data):
    return {"files": file_state(data), "rows": fingerprints(load_splits(data, TASK, 0)[0])}


@pytest.mark.parametrize("file", FILES)
def test_other_rows_are_found_and_untouched_files_are_not_read(file, monkeypatch):
    put(file)
    data = Data(**FILES[file])
    note = noted(data)
    with monkeypatch.context() as patch:
        patch.setattr(changes, "load_splits", lambda *given: pytest.fail("read again"))
        assert changed_splits(note, data, TASK, 0) == []
    os.utime(file, ns=(1, 1))
    assert changed_splits(note, data, TASK, 0) == [], "the same content at another time"
    put(file, "TEXT")
    assert changed_splits(note, data, TASK, 0) == ["train", "validation"]


def test_files_that_are_gone_change_nothing_and_broken_ones_are_an_error():
    put("x.jsonl")
    data = Data(path="x.jsonl")
    note = noted(data)
    Path("x.jsonl").write_text("{")
    with pytest.raises(HfftError):
        changed_splits(note, data, TASK, 0)
    Path("x.jsonl").unlink()
    assert changed_splits(note, data, TASK, 0) == []


def test_a_file_more_in_a_folder_is_a_change():
    put("d/train.jsonl")
    data = Data(path="d")
    note = noted(data)
    put("d/test.jsonl", "other")
    assert changed_splits(note, data, TASK, 0) == ["test"]


def test_what_is_not_on_this_machine_has_no_state():
    assert (
        file_state(Data(path="digits")) is file_state(Data(path="me/data")) is file_state(Data(path="no.csv")) is None
    )
