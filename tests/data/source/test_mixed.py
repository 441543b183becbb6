"""Several labelled sets as one task: their columns and classes under one name, rows drawn, held-out splits, what does not fit."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from hfft.data.beside import values_of
from hfft.data.changes import changed_splits, file_state
from hfft.data.fingerprint import fingerprints
from hfft.data.load import load_splits
from hfft.data.source import load_raw
from hfft.data.spec import SET, Data
from hfft.data.splits import column
from hfft.errors import BadInput, DataError, RecipeError
from hfft.recipe import load_recipe
from hfft.tasks.table import TASKS

TEXTS = TASKS["text-classification"]
SIZES = {"train": 60, "validation": 12, "test": 18}


def rows(count, names, text="text", label="label", offset=0):
    """Texts whose number tells the class."""
    features = Features({text: Value("string"), label: ClassLabel(names=names)})
    numbers = range(offset, offset + count)
    return Dataset.from_dict(
        {text: [f"number {i}" for i in numbers], label: [i % len(names) for i in numbers]}, features=features
    )


def save(path, splits):
    DatasetDict(splits).save_to_disk(path)
    return str(path)


@pytest.fixture
def first(tmp_path):
    """A set of the classes a, b, c."""
    return save(tmp_path / "first", {name: rows(size, ["a", "b", "c"]) for name, size in SIZES.items()})


@pytest.fixture
def second(tmp_path):
    """A set of the classes x, y, z in columns of other names."""
    found = {name: rows(size // 2, ["x", "y", "z"], "words", "kind", 1000) for name, size in SIZES.items()}
    return save(tmp_path / "second", found)


MAP = {"x": "a", "y": "b", "z": "c"}


def load(first, second, seed=42, more=None, **options):
    """The splits of both sets together, and the meaning of their labels."""
    mix = {"other": {"path": second, "map": MAP, **(more or {})}}
    return load_splits(Data(path=first, **{"mix": mix, **options}), TEXTS, seed)


def test_two_sets_under_other_names_are_one_with_the_rows_of_both(first, second):
    splits, labels = load(first, second)
    assert labels.names == ("a", "b", "c")
    for name, part in splits.items():
        size = SIZES[name]
        expected = rows(size, list("abc"))["text"][:] + rows(size // 2, list("abc"), offset=1000)["text"][:]
        assert part["text"][:] == expected
        assert part["labels"][:] == [int(text.split()[1]) % 3 for text in expected]
        assert part["row"][:] == list(range(len(expected)))
    assert splits.columns == {"text": "text", "label": "label"}
    assert "set first: train 60, validation 12, test 18" in splits.notes
    assert "set other: train 30, validation 6, test 9" in splits.notes


def test_the_set_of_each_row_is_a_column_of_the_data(first, second):
    data = Data(path=first, mix={"other": {"path": second, "map": MAP}})
    splits, _ = load_splits(data, TEXTS, 0)
    names = values_of("data.mix", data, splits, "test", SET)
    assert names == ["first"] * 18 + ["other"] * 9
    assert load_raw(data).starts["train"] == (("first", 0), ("other", 60))


def test_without_maps_the_classes_are_those_of_all_sets(first, second):
    splits, labels = load(first, second, mix={"other": {"path": second}})
    assert labels.names == ("a", "b", "c", "x", "y", "z")
    assert np.bincount(splits.train["labels"]).tolist() == [20] * 3 + [10] * 3
    assert (
        load(first, second, mix={"other": {"path": second}}, classes=["z", "y", "x", "c", "b", "a"])[1].names[0] == "z"
    )


def test_a_map_to_null_leaves_rows_out_and_says_how_many(first, second):
    splits, _ = load(first, second, mix={"other": {"path": second, "map": {**MAP, "z": None}}})
    assert len(splits.train) == 60 + 20
    assert "set other: train 20, validation 4, test 6; its map leaves out 15 rows" in splits.notes


def test_a_further_sets_split_that_is_not_read_is_said(first, second):
    splits, _ = load(first, second, validation=0.2)
    said = [note for note in splits.notes if note.startswith("set other: ")]
    assert said == [
        "set other: train 30, test 9; its validation is not read, since that split is another (data.validation)"
    ]
    assert len(splits.validation) == round(0.2 * 90)


def test_a_set_alone_may_have_a_map_that_joins_classes(first):
    splits, labels = load_splits(Data(path=first, map={"a": "c"}), TEXTS, 0)
    assert labels.names == ("c", "b")
    assert np.bincount(splits.train["labels"]).tolist() == [40, 20]
    assert splits.train["row"][:] == list(range(60))


def test_classes_that_are_words_or_numbers_are_compared_by_name(tmp_path, first):
    (tmp_path / "numbers.csv").write_text("\n".join(["text,label", *(f"more {i},{i % 3}" for i in range(30))]))
    mix = {"numbers": {"path": str(tmp_path / "numbers.csv"), "map": {"0": "a", "1": "b", "2": "c"}}}
    splits, labels = load_splits(Data(path=first, mix=mix), TEXTS, 0)
    assert labels.names == ("a", "b", "c")
    assert splits.train["labels"][60:] == [i % 3 for i in range(30)]
    assert len(splits.test) == 18  # the other set has none


@pytest.mark.parametrize(
    ("more", "count"), [({"share": 0.5}, 15), ({"max_samples": 6}, 6), ({"share": 0.5, "max_samples": 99}, 15)]
)
def test_some_of_a_sets_rows_are_drawn_in_proportion_to_its_classes(first, second, more, count):
    splits, _ = load(first, second, more=more)
    theirs = splits.train["labels"][60:]
    assert len(theirs) == count
    assert np.ptp(np.bincount(theirs)) <= 1
    again = load(first, second, 1, more)[0]  # another seed of the run
    assert again.train["text"][:] == splits.train["text"][:]


def test_shares_folds_and_shots_are_of_all_rows_together(first, second):
    whole, _ = load(first, second)
    shared, _ = load(first, second, validation=0.2)
    numbers = sorted([*shared.train["row"][:], *shared.validation["row"][:]])
    assert numbers == whole.train["row"][:]
    folds = [load(first, second, fold={"of": 3, "number": k})[0].test["row"][:] for k in (1, 2, 3)]
    assert sorted(itertools.chain(*folds)) == whole.train["row"][:]
    few, _ = load(first, second, shots=4)
    assert np.bincount(few.train["labels"]).tolist() == [4, 4, 4]
    capped, _ = load(first, second, max_train_samples=30)
    assert np.bincount(capped.train["labels"]).tolist() == [10, 10, 10]
    owners = [load(first, second, client={"of": 2, "number": k, "alpha": 5.0})[0].train["row"][:] for k in (1, 2)]
    assert sorted(itertools.chain(*owners)) == whole.train["row"][:]


def test_a_bad_row_is_named_in_its_own_set(tmp_path, first):
    lines = ["text,label", *(f"more {i},{'abc'[i % 3]}" for i in range(10)), ",a"]
    (tmp_path / "gap.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"split train, row 70, the first is row 10 of gap: "):
        load_splits(Data(path=first, mix={"gap": {"path": str(tmp_path / "gap.csv")}}), TEXTS, 0)


def test_a_changed_file_of_any_set_is_noticed(tmp_path, first):
    path = tmp_path / "more.csv"
    path.write_text("\n".join(["text,label", *(f"more {i},{'abc'[i % 3]}" for i in range(10))]))
    data = Data(path=first, mix={"more": {"path": str(path)}})
    note = {"files": file_state(data), "rows": fingerprints(load_splits(data, TEXTS, 0)[0])}
    assert changed_splits(note, data, TEXTS, 0) == []
    path.write_text(path.read_text().replace("more 3", "less 3"))
    os.utime(path, (1, 1))
    assert changed_splits(note, data, TEXTS, 0) == ["train"]


def test_a_class_that_the_task_does_not_have_is_an_error_that_names_it(first, second):
    with pytest.raises(DataError, match=r"data\.mix\.other\.map: y, z of .* are not in data\.classes; map each to one"):
        load(first, second, mix={"other": {"path": second, "map": {"x": "a"}}}, classes=["a", "b", "c"])


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"map": {**MAP, "w": "a"}}, r"data\.mix\.other\.map: no class 'w' in .*it has: x, y, z"),
        (
            {"map": {**MAP, "z": "d"}},
            r"data\.mix\.other\.map: z becomes 'd', which is not in the classes of any set.*name another",
        ),
        ({"map": dict.fromkeys("xyz")}, r"data\.mix\.other\.map: leaves no training row of"),
        ({"split": "trian"}, r"data\.mix\.other\.split: no split 'trian'; did you mean 'train'"),
        ({"columns": {"text": "word"}}, r"data\.mix\.other\.columns\.text: no column 'word'; did you mean 'words'"),
        (
            {"columns": {"text": "kind", "label": "kind"}},
            r"data\.mix\.other\.columns\.text: column 'kind' has type ClassLabel",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(first, second, mix, message):
    with pytest.raises(DataError, match=message):
        load(first, second, mix={"other": {"path": second, **mix}})


def test_a_set_without_rows_is_told(tmp_path, first):
    empty = str(tmp_path / "empty.parquet")
    rows(0, ["a", "b", "c"]).to_parquet(empty)
    with pytest.raises(BadInput, match=r"empty\.parquet has no rows in its split train; use data that has some"):
        load_splits(Data(path=first, mix={"empty": {"path": empty}}), TEXTS, 0)


def test_images_are_not_mixed_with_texts(second):
    images = TASKS["image-classification"]
    with pytest.raises(DataError, match=r"data\.mix\.other\.columns\.image: which column is it\? .* has: words, kind"):
        load_splits(Data(path="digits", mix={"other": {"path": second}}), images, 0)


def test_two_halves_of_images_with_other_class_names_come_to_the_whole(tmp_path):
    images = TASKS["image-classification"]
    whole, _ = load_splits(Data(path="digits", validation="none"), images, 0)
    raw = load_raw(Data(path="digits"))
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    half = len(raw.splits["train"]) // 2
    left, right = raw.splits["train"].select(range(half)), raw.splits["train"].select(range(half, 2 * half + 1))
    right = right.select_columns(["image", "label"]).rename_columns({"image": "img", "label": "digit"})
    right = right.cast(Features({"img": Image(), "digit": ClassLabel(names=names)}))
    paths = [save(tmp_path / name, {"train": part}) for name, part in (("left", left), ("right", right))]
    map_ = {name: str(i) for i, name in enumerate(names)}
    data = Data(path=paths[0], mix={"right": {"path": paths[1], "map": map_}}, validation="none")
    mixed, labels = load_splits(data, images, 0)
    assert labels.names == tuple("0123456789")
    assert mixed.train["labels"][:] == whole.train["labels"][: 2 * half + 1]
    assert (mixed.content["train"] == whole.content["train"][: 2 * half + 1]).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["data.mix={b: {path: letters}}", "data.streaming=true"],
            "has mix, which needs all rows with labels, and streaming",
        ),
        (["data.map={a: b}", "data.labels=none"], "has map, which needs all rows with labels, and labels=none"),
        (["data.mix={b: {path: letters}}", "data.columns.label=[a, b]"], "which is for one class a row in one column"),
        (
            ["data.mix={b: {path: letters, map: {A: one}}}", "data.classes=['1', '2']"],
            r"has mix\.b\.map to 'one', which is not in classes; name one of 1, 2",
        ),
        (["data.mix={b: {path: letters, share: 0}}"], r"data\.mix\.b\.share: is 0"),
        (["data.mix={b: {share: 0.5}}"], r"data\.mix\.b\.path"),
    ],
)
def test_what_cannot_be_mixed_is_refused(words, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("digits", *words)


def test_column_of_sets_is_no_input(first, second):
    assert SET not in load(first, second)[0].train.column_names
    assert column(load_raw(Data(path=first, map={"a": "b"})).splits["train"], SET).to_pylist() == ["first"] * 60
