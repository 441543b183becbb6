"""Whether data is still what a run noted: cheap where files are untouched, exact where they are not."""

import json
import os
from pathlib import Path

import datasets
import pytest
from PIL import Image

from hfft.data import changes
from hfft.data.changes import changed_splits, file_state, names_files
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


@pytest.mark.parametrize("kind", ["paths", "folder", "bytes"])
def test_pictures_that_a_table_names_are_looked_at_too(kind):
    for i in range(20):
        picture(i, 10 * i)
    task, data = TASKS["image-classification"], Data(path="t.csv" if kind == "paths" else "im")
    Path("t.csv").write_text("image,label\n" + "".join(f"im/{'ab'[i % 2]}/{i}.png,{'ab'[i % 2]}\n" for i in range(20)))
    if kind == "bytes":
        rows = load_splits(data, task, 0)[0].train.cast_column("image", datasets.Image(decode=False))
        rows.map(lambda row: {"image": {"bytes": Path(row["image"]["path"]).read_bytes(), "path": None}}).to_parquet(
            "x.parquet"
        )
        data = Data(path="x.parquet", columns={"label": "labels"})
    splits = load_splits(data, task, 0)[0]
    named = names_files(splits.train, data)
    assert named == (kind == "paths")
    note = {"files": file_state(data), "rows": fingerprints(splits), "named_files": named}
    assert changed_splits(note, data, task, 0) == []
    picture(int(splits.train[0]["row"]) if kind == "bytes" else 4, 255)
    picture(5, 255)
    assert bool(changed_splits(note, data, task, 0)) == (kind != "bytes")


def picture(i, level):
    path = Path("im") / "ab"[i % 2] / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (level, i, 0)).save(path)
