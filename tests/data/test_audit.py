"""Rows that cannot be used are found before the first step, each with split and number, or left out and counted."""

import io
import json
import math
import resource
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Picture

from hfft.data import audit
from hfft.data.modality.image import ImageInputs
from hfft.errors import DataError, RecipeError
from hfft.recipe.build import build
from tests.parts import splits_of

NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def load(path="d", task="image-classification", problem="single_label_classification", **data):
    values = {"task": task, "problem_type": problem, "backbone": {"name": "-"}, "data": {"path": path, **data}}
    return splits_of(build(json.dumps(values), "test.yaml", "test"))[0]


def encoded(seed, kind="png"):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    Picture.fromarray(pixels).save(file, kind)
    return file.getvalue()


def bomb():
    """A PNG of a few kilobytes that unfolds to 360 million pixels."""
    file = io.BytesIO()
    Picture.new("1", (20_000, 18_000)).save(file, "png")
    assert len(file.getvalue()) < 50_000
    return file.getvalue()


def save(split, contents, labels, **more):
    features = Features(image=Image(decode=False), label=Value("int64"), **{name: Value("string") for name in more})
    stored = [None if content is None else {"bytes": content, "path": None} for content in contents]
    rows = Dataset.from_dict({"image": stored, "label": labels, **more}, features=features)
    schema = Features({**features, "image": Image(), "label": ClassLabel(names=NAMES)}).arrow_schema
    table = rows.data.table.replace_schema_metadata(schema.metadata)
    path = f"d/{split}-00000-of-00001.parquet"
    Path("d").mkdir(exist_ok=True)
    pyarrow.parquet.write_table(table, path)


DAMAGE = {  # row of train -> what its image becomes
    7: (lambda whole: None, "no image in column 'image'"),
    33: (lambda whole: b"no image", "the image cannot be decoded (UnidentifiedImageError)"),
    91: (lambda whole: whole[: len(whole) // 2], "the image cannot be decoded (OSError)"),
    140: (lambda whole: bomb(), "the image cannot be decoded (DecompressionBombError)"),
}
LABELS = {
    12: (None, "no label in column 'label' (None, NaN, -1 and '' count as none)"),
    56: (-1, "no label in column 'label' (None, NaN, -1 and '' count as none)"),
    77: (99, "label 99 is out of range, expected 0 to 2"),
}


@pytest.fixture
def damaged():
    """600 rows, of which nine are bad in seven ways, and 40 that are held out, one of a class that train lacks."""
    contents, labels = [encoded(i, "jpeg" if i % 2 else "png") for i in range(600)], [i % 2 for i in range(600)]
    ids = [f"id{i}" for i in range(600)]
    ids[400] = "id399"
    for row, (damage, _) in DAMAGE.items():
        contents[row] = damage(contents[row])
    for row, (label, _) in LABELS.items():
        labels[row] = label
    save("train", contents, labels, name=ids)
    save("test", [encoded(i) for i in range(1000, 1040)], [i % 2 for i in range(39)] + [2], name=ids[:40])
    return [i for i in range(600) if i not in {*DAMAGE, *LABELS, 400}]


@pytest.mark.slow
def test_all_kinds_of_damage_are_told_at_once_with_their_rows(damaged):
    with pytest.raises(DataError) as caught:
        load(columns={"id": "name"}, validation="train")
    said = str(caught.value).splitlines()
    for row, (_, what) in DAMAGE.items():
        assert f"split train, row {row}: {what}; fix it, or set data.on_bad_rows=skip" in said
    assert any(
        line.startswith(f"split train, rows 12, 56 (2 of 600): {LABELS[12][1]}; fix them, or set data.on_bad_rows=skip")
        for line in said
    )
    assert any(line.startswith("split train, row 77: label 99 is out of range, expected 0 to 2") for line in said)
    assert any(
        line.startswith("split train, row 400: id 'id399' of column 'name' also occurs in an earlier") for line in said
    )
    assert any(line.startswith("split test, row 39: class 'c' has no row in train; fix the split") for line in said)


@pytest.mark.slow
def test_skipped_rows_are_left_out_counted_and_told(damaged):
    settings = {"columns": {"id": "name"}, "validation": 0.1, "on_bad_rows": "skip", "max_bad_rows": 0.03}
    splits = load(**settings)
    kept = sorted([*splits.train["row"], *splits.validation["row"]])
    assert kept == damaged
    assert splits.test["row"][:] == list(range(39))
    assert splits.skipped == {"train": 8, "test": 1}
    assert splits.sizes == {"train": len(splits.train), "validation": len(splits.validation), "test": 39}
    assert splits.notes == (
        "split train has no row of class 'c'; the model cannot learn it",
        "split train: 8 of 600 bad rows are left out",
        "split test: 1 of 40 bad rows are left out",
    )
    assert splits.train[0]["image"].size == (24, 24)


@pytest.mark.slow
def test_more_bad_rows_than_the_recipe_allows_are_refused(damaged):
    with pytest.raises(DataError, match=r"split train: 8 of 600 rows are bad, above data.max_bad_rows=0.01; raise it"):
        load(columns={"id": "name"}, on_bad_rows="skip")


@pytest.mark.slow
def test_only_the_rows_that_are_used_are_decoded(damaged, monkeypatch):
    seen = []
    look = ImageInputs.inspect
    monkeypatch.setattr(ImageInputs, "inspect", lambda *row: seen.append(1) or look(*row))
    load(on_bad_rows="skip", max_bad_rows=0.1, validation="test", max_train_samples=50, max_eval_samples=10)
    assert len(seen) == 50 + 10 + 10


@pytest.mark.slow
def test_the_verdict_is_found_once_per_machine(damaged, monkeypatch):
    settings = {"on_bad_rows": "skip", "max_bad_rows": 0.03}
    first = load(**settings)
    monkeypatch.setattr(ImageInputs, "inspect", lambda *row: pytest.fail("looked at again"))
    again = load(**settings)
    assert again.train["row"][:] == first.train["row"][:]
    assert again.skipped == first.skipped == {"train": 7, "test": 1}


@pytest.mark.slow
def test_a_bomb_is_told_without_being_unfolded(damaged):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(audit.BadRow, match="DecompressionBombError"):
        ImageInputs().digest(({"bytes": bomb(), "path": None},), ["image"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB; its pixels would be 1.1 GB


def test_the_first_ten_rows_are_listed_and_all_are_counted():
    save("train", [encoded(i) for i in range(40)], [i % 2 if i % 2 else 7 for i in range(40)])
    with pytest.raises(DataError) as caught:
        load()
    numbers = ", ".join(str(2 * i) for i in range(10))
    assert str(caught.value).startswith(f"split train, rows {numbers}, … (10 more) (20 of 40): label 7 is out of range")


def test_rows_of_train_among_the_held_out_ones_are_told():
    save("train", [encoded(i) for i in range(30)], [i % 2 for i in range(30)])
    save("test", [encoded(i) for i in (100, 4, 101, 5)], [0, 1, 0, 1])
    splits = load(validation="train")
    assert splits.leaked == {"validation": 30, "test": 2}
    assert splits.notes[-1] == (
        "split test: 2 of its rows also occur in train (rows 1, 3): its metrics are too optimistic"
    )


def folder_of_images(*broken, deep=()):
    """Twenty images of two classes as files; some broken, some of 16 bits."""
    for i in range(20):
        path = Path(f"pictures/{'ab'[i % 2]}/{i:02}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image" if i in broken else encoded(i))
        if i in deep:
            Picture.fromarray(np.full((4, 4), i * 1000, np.uint16)).save(path)


@pytest.mark.parametrize("path", ["pictures", "./pictures/", "absolute"])
def test_damaged_images_are_named_by_file(path, tmp_path):
    folder_of_images(4, 5, 6)
    path = str(tmp_path / "pictures") if path == "absolute" else path
    root = Path(path)
    files = ", ".join(str(root / name) for name in ("a/04.png", "a/06.png", "b/05.png"))
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value) == (
        f"split train, rows 2, 3, 12 (3 of 20): the image cannot be decoded (UnidentifiedImageError): {files}; fix them, "
        f"or set data.on_bad_rows=skip"
    )
    skipped = load(path, on_bad_rows="skip", max_bad_rows=0.5)
    assert f"split train: 3 of 20 bad rows are left out: {files}" in skipped.notes


@pytest.mark.parametrize("skip", [False, True])
def test_a_damaged_image_of_a_stream_is_named_by_file(skip, tmp_path):
    folder_of_images(5)
    settings = {"on_bad_rows": "skip", "max_bad_rows": 1e-9} if skip else {}
    with pytest.raises(DataError) as caught:
        list(load("pictures", streaming=True, **settings).train)
    assert str(caught.value).startswith(
        f"split train, row 12: the image cannot be decoded (UnidentifiedImageError): {tmp_path}/pictures/b/05.png; "
    )


def test_images_of_more_than_8_bits_are_told_with_their_range():
    folder_of_images(deep=(2, 4, 12, 14))
    notes = load("pictures", validation=0.5).notes
    assert len(notes) == 2
    for note, white in zip(notes, (4095, 65535), strict=True):
        assert note.startswith("2 rows (")
        assert note.endswith(f"): 16-bit image, scaled to 8 bits from 0..{white}")


TEXTS = [{"text": f"text number {i}", "other": f"pair {i}", "label": "xy"[i % 2]} for i in range(30)]


def table(split, rows):
    datasets.disable_progress_bars()
    Dataset.from_list(rows).to_parquet(f"d/{split}-00000-of-00001.parquet")


def test_texts_are_the_same_whatever_their_case_and_blanks(tmp_path):
    (tmp_path / "d").mkdir()
    table("train", TEXTS)
    table(
        "test",
        [{**TEXTS[3], "text": " TEXT\tnumber  3"}, {**TEXTS[4], "text": "another"}, {**TEXTS[5], "other": "new"}],
    )
    assert load(task="text-classification", validation="test").leaked == {"validation": 2, "test": 2}
    pairs = load(task="text-classification", validation="test", columns={"text_pair": "other"})
    assert pairs.leaked == {"validation": 1, "test": 1}


@pytest.mark.parametrize("skip", [False, True])
def test_empty_texts_are_found(tmp_path, skip):
    (tmp_path / "d").mkdir()
    rows = [dict(row) for row in TEXTS]
    rows[3]["text"], rows[8]["text"] = None, " \n"
    table("train", rows)
    if skip:
        splits = load(task="text-classification", on_bad_rows="skip", max_bad_rows=0.1)
        assert sorted([*splits.train["row"], *splits.validation["row"]]) == [i for i in range(30) if i not in (3, 8)]
    else:
        with pytest.raises(DataError) as caught:
            load(task="text-classification")
        assert [line.partition(";")[0] for line in str(caught.value).splitlines()] == [
            "split train, row 3: column 'text' holds no text (None)",
            r"split train, row 8: column 'text' holds no text (' \n')",
        ]


def test_odd_numbers_to_predict_are_left_out(tmp_path):
    (tmp_path / "d").mkdir()
    values = [float(i) for i in range(30)]
    values[4], values[9], values[11] = math.nan, math.inf, None
    table("train", [{"text": f"t{i}", "label": value} for i, value in enumerate(values)])
    settings = {"task": "text-classification", "problem": "regression"}
    splits = load(**settings, on_bad_rows="skip", max_bad_rows=0.1)
    assert splits.skipped == {"train": 3}
    with pytest.raises(DataError) as caught:
        load(**settings)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.slow
def test_an_id_column_must_be_there_and_rows_without_one_are_told(damaged):
    with pytest.raises(DataError, match=r"data.columns.id: no column 'nme' in split train; did you mean 'name'\?"):
        load(columns={"id": "nme"})
    with pytest.raises(RecipeError, match=r"data.columns.id: needs all rows, which a stream does not have"):
        load(columns={"id": "name"}, streaming=True)


# --- streams


@pytest.mark.slow
def test_a_stream_leaves_bad_rows_out_as_it_is_read(damaged):
    splits = load(on_bad_rows="skip", max_bad_rows=0.02, streaming=True, validation="test", shuffle_buffer=1)
    assert sorted(row["row"] for row in splits.train) == [i for i in range(600) if i not in {*DAMAGE, *LABELS}]
    assert splits.skipped == {"train": 7}
    list(splits.train)
    assert splits.skipped == {"train": 14}, "as often as it was read"


def test_a_stream_with_too_many_bad_rows_ends():
    save("train", [encoded(i) if i % 2 else b"" for i in range(40)], [i % 2 for i in range(40)])
    splits = load(on_bad_rows="skip", streaming=True, shuffle_buffer=1)
    with pytest.raises(DataError, match=r"rows were bad, above data.max_bad_rows=0.01; raise it, or fix the rows"):
        list(splits.train)
