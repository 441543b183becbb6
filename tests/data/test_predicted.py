"""Rows to predict: columns as in the run, the only split, ids, and rows that cannot be used in their place."""

import json
from pathlib import Path

import datasets
import pytest
from datasets import Dataset
from PIL import Image

from hfft.data.predicted import Reading, read_rows
from hfft.errors import BadInput, DataError
from hfft.tasks.modality import IMAGE, TEXT


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def put(path, rows):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def values(path, modality=TEXT, file=False, **reading):
    return [value for _, value in read_rows(path, modality, Reading(**reading), file)]


def refused(path, **reading):
    with pytest.raises(DataError) as caught:
        read_rows(path, TEXT, Reading(**reading))
    return str(caught.value)


ROWS = [{"a": f"a{i}", "b": f"b{i}", "x": i / 2} for i in range(3)]


def test_columns_are_those_of_the_command_line_else_of_the_run_else_the_usual_ones():
    path = put("x.jsonl", [{**row, "text": "t"} for row in ROWS])
    assert values(path) == ["t"] * 3
    assert values(path, columns={"text": "a"}) == ["a0", "a1", "a2"]
    assert values(path, columns={"text": "a"}, chosen={"text": "b"}) == ["b0", "b1", "b2"]
    assert values(put("y.jsonl", [{"b": row["b"], "x": row["x"]} for row in ROWS])) == ["b0", "b1", "b2"]


def test_a_pair_is_read_as_a_pair():
    path = put("x.jsonl", ROWS)
    assert values(path, columns={"text": "a", "text_pair": "b"}) == [("a0", "b0"), ("a1", "b1"), ("a2", "b2")]
    assert values(path, chosen={"text": "b", "text_pair": "a"})[0] == ("b0", "a0")
    assert values(path, columns={"text": "x", "text_pair": "b"}, chosen={"text": "a"})[0] == ("a0", "b0")


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ({}, "--column: which column is it? x.jsonl has: a, b, x"),
        ({"chosen": {"text": "c"}}, "--column: no column 'c' (x.jsonl has: a, b, x)"),
        ({"chosen": {"text": "x"}}, "--column: column 'x' has type Value('float64'), not text; choose another"),
        (
            {"chosen": {"text": "a", "text_pair": "B"}},
            "--pair-column: no column 'B'; did you mean 'b'? (x.jsonl has: a, b, x)",
        ),
        (
            {"chosen": {"text": "a", "text_pair": "a"}},
            "--pair-column: column 'a' is already used for text; choose another",
        ),
        (
            {"columns": {"text": "said"}},
            "--column: no column 'said', which the model was trained on (x.jsonl has: a, b, x); choose one",
        ),
        (
            {"columns": {"text": "a", "text_pair": "claim"}},
            "--pair-column: no column 'claim', which the model was trained on (x.jsonl has: a, b, x); choose one",
        ),
        ({"chosen": {"text": "a", "id": "m"}}, "--id: no column 'm' (x.jsonl has: a, b, x)"),
        (
            {"chosen": {"text": "a"}, "split": "tran"},
            "--split: no split 'tran'; did you mean 'train'? (x.jsonl has: train)",
        ),
    ],
)
def test_what_a_table_lacks_is_told_with_what_it_has(reading, message):
    assert refused(put("x.jsonl", ROWS), **reading) == message


def test_the_only_split_is_taken_whatever_its_name_else_test_else_it_is_asked_for():
    for name in ("dev", "train"):
        put(f"{name}1/{name}.jsonl", [{"text": name}])
        assert values(f"{name}1") == [name]
    for name in ("train", "test", "validation"):
        put(f"all/{name}.jsonl", [{"text": name}])
    assert values("all") == ["test"]
    assert values("all", split="validation") == ["validation"]
    Path("all/test.jsonl").unlink()
    assert refused("all") == "--split: which split is it? all has: train, validation"


def test_ids_are_those_of_a_column_else_rows_of_a_file_or_numbers():
    path, told = put("x.jsonl", [{"text": "t", "uid": 7}, {"text": "u", "uid": 5}]), []

    def ids(file=False, **reading):
        return [name for name, _ in read_rows(path, TEXT, Reading(note=told.append, **reading), file)]

    assert ids() == [0, 1]
    assert ids(file=True) == ["x.jsonl:0", "x.jsonl:1"]
    assert ids(columns={"id": "uid"}) == ids(chosen={"id": "uid"}, columns={"id": "z"}) == [7, 5]
    assert not told
    assert ids(columns={"id": "z"}) == [0, 1]
    assert told == ["x.jsonl has no column 'z', the run's ids: its rows are numbered from 0 (--id COLUMN)"]


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_a_missing_text_is_told_with_its_row_and_the_others_are_read(missing):
    path = put("x.jsonl", [{"a": "x", "b": "y"}, {"a": "x", "b": missing}, {"a": "z", "b": "z"}])
    first, second, third = values(path, file=True, columns={"text": "a", "text_pair": "b"})
    assert (first, third) == (("x", "y"), ("z", "z"))
    assert str(second) == f"x.jsonl, row 1: column 'b' holds no text ({missing!r})"
    assert str(values(path, columns={"text": "b"})[1]).startswith("split train, row 1: column 'b' holds no text")


def test_a_damaged_image_is_told_with_its_row_and_the_others_are_read():
    for name, color in (("0.png", "red"), ("2.png", "blue")):
        Image.new("RGB", (4, 4), color).save(name)
    Path("1.png").write_bytes(b"none")
    path = put("x.jsonl", [{"image": f"{i}.png"} for i in range(3)])
    first, second, third = values(path, IMAGE, file=True, columns={"image": "image"})
    assert (first.getpixel((0, 0)), third.getpixel((0, 0))) == ((255, 0, 0), (0, 0, 255))
    assert str(second).startswith("x.jsonl, row 1: the image cannot be decoded (UnidentifiedImageError)")


@pytest.mark.parametrize(("cells", "read"), [([5, 7], ["5", "7"]), ([None, None], [None, None])])
def test_texts_that_are_all_numbers_or_missing_are_texts(cells, read):
    Dataset.from_dict({"text": cells}).to_parquet("x.parquet")
    found = values("x.parquet", columns={"text": "text"})
    assert [None if isinstance(value, DataError) else value for value in found] == read


def test_no_row_is_one_line():
    Dataset.from_dict({"text": ["a"]}).select([]).to_parquet("x.parquet")
    with pytest.raises(BadInput, match=r"x\.parquet has no rows"):
        values("x.parquet")
