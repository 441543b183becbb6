"""Data from every source gives the same splits; columns are found and checked; shares and caps are fair and seeded."""

import io
import json
import os
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Picture

from hfft.data.fingerprint import fingerprints
from hfft.errors import BadInput, DataError
from hfft.recipe.build import build
from tests.parts import splits_of

TEXTS = {
    "train": [{"text": f"sentence {i}", "label": "abc"[i % 3], "extra": i} for i in range(30)],
    "test": [{"text": f"question {i}", "label": "cab"[i % 3], "extra": -i} for i in range(9)],
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def recipe(path, task="text-classification", seed=42, problem="single_label_classification", **data):
    values = {"task": task, "problem_type": problem, "backbone": {"name": "-"}, "data": {"path": str(path), **data}}
    return build(json.dumps({**values, "training": {"seed": seed}}), "test.yaml", "test")


def load(path, **settings):
    return splits_of(recipe(path, **settings))


def images(path, **settings):
    return load(path, task="image-classification", **settings)


def content(rows, *columns):
    return [tuple(row[column] for column in columns) for row in rows]


def refused(path, message, **settings):
    """The line with which loading is refused."""
    with pytest.raises(DataError) as caught:
        load(path, **settings)
    assert str(caught.value) == message
    return caught.value


def delimited(rows, comma=","):
    return "".join(comma.join(map(str, line)) + "\n" for line in [list(rows[0]), *(row.values() for row in rows)])


def write(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def table(path, rows=None, features=None):
    """Write rows in the format of the file's name."""
    rows = TEXTS["train"] if rows is None else rows
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    kind = Path(path).suffix
    if kind == ".parquet":
        columns = {name: [row[name] for row in rows] for name in features or rows[0]}
        Dataset.from_dict(columns, features=features).to_parquet(path)
    elif kind == ".json":
        write(path, json.dumps(rows))
    elif kind == ".jsonl":
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    else:
        write(path, delimited(rows, "\t" if kind == ".tsv" else ","))
    return str(path)


# --- where data comes from


def hub_layout(folder, splits=TEXTS, features=None):
    """A folder as a hub data set is: Parquet files, a README that names the splits of two configurations."""
    for split, rows in splits.items():
        table(f"{folder}/plain/{split}-00000-of-00001.parquet", rows, features)
        table(f"{folder}/other/{split}.parquet", rows[:4], features)
    files = "\n".join(f"  - {{split: {split}, path: plain/{split}-*}}" for split in splits)
    sizes = "\n".join(f"  - {{name: {s}, num_examples: {len(rows)}, num_bytes: 1}}" for s, rows in splits.items())
    few = "\n".join(f"  - {{split: {split}, path: other/{split}.parquet}}" for split in splits)
    write(
        f"{folder}/README.md",
        f"---\nconfigs:\n- config_name: plain\n  data_files:\n{files}\n- config_name: other\n  data_files:\n{few}\n"
        f"dataset_info:\n- config_name: plain\n  splits:\n{sizes}\n---\n",
    )
    return {"path": folder, "name": "plain"}


def data_files(suffix, kind):
    return {"path": kind, "data_files": {split: table(f"d/{split}.{suffix}", rows) for split, rows in TEXTS.items()}}


def folder_of(suffix):
    for split, rows in TEXTS.items():
        table(f"some.data/{split}.{suffix}", rows)
    return {"path": "some.data"}


TEXT_SOURCES = {
    "csv files": lambda: data_files("csv", "csv"),
    "tsv files": lambda: data_files("tsv", "csv"),
    "json files": lambda: data_files("json", "json"),
    "jsonl files": lambda: data_files("jsonl", "json"),
    "parquet files": lambda: data_files("parquet", "parquet"),
    "folder of csv": lambda: folder_of("csv"),
    "folder of tsv": lambda: folder_of("tsv"),
    "folder of jsonl": lambda: folder_of("jsonl"),
    "folder of parquet": lambda: folder_of("parquet"),
    "hub layout": lambda: hub_layout("hub"),
}


@pytest.mark.slow_but("jsonl files")
@pytest.mark.parametrize("source", TEXT_SOURCES)
def test_every_source_of_texts_gives_the_same_splits_loaded_and_streamed(source):
    settings = TEXT_SOURCES[source]()
    splits, labels = load(**settings)
    assert labels.names == ("a", "b", "c")
    assert splits.sizes == {"train": 27, "validation": 3, "test": 9}
    assert splits.columns == {"text": "text", "label": "label"}
    expected = [(row["text"], "abc".index(row["label"]), i) for i, row in enumerate(TEXTS["train"])]
    together = content(splits.train, "text", "labels", "row") + content(splits.validation, "text", "labels", "row")
    assert sorted(together) == sorted(expected)
    expected_test = [(row["text"], "abc".index(row["label"])) for row in TEXTS["test"]]
    assert content(splits.test, "text", "labels") == expected_test

    streamed, same = load(**settings, streaming=True, classes=["a", "b", "c"])
    assert same == labels
    assert sorted(content(streamed.train, "text", "labels")) == sorted(row[:2] for row in expected)
    assert content(streamed.test, "text", "labels") == expected_test
    assert streamed.validation is None


@pytest.mark.parametrize("name", ["one.csv", "one.tsv", "one.json", "one.jsonl", "one.parquet", "many/*.csv"])
def test_one_file_or_a_pattern_of_files_is_the_train_split(name):
    rows = TEXTS["train"]
    if "*" in name:
        table("many/1.csv", rows[:10])
        table("many/2.csv", rows[10:])
    else:
        table(name, rows)
    splits, _ = load(name)
    assert splits.sizes == {"train": 27, "validation": 3}
    assert splits.test is None
    assert splits.origin == {"train": "train", "validation": "0.1 of train, stratified, seed 42"}
    streamed, _ = load(name, streaming=True, classes=["a", "b", "c"])
    assert sorted(content(streamed.train, "text")) == sorted((row["text"],) for row in rows)


def test_a_tilde_in_the_path_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    table("here.csv")
    table("there/train.csv")
    assert load("~/here.csv")[0].sizes == load("~/there")[0].sizes == {"train": 27, "validation": 3}


def picture(i, size=(6, 5)):
    return Picture.fromarray(np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(i):
    buffer = io.BytesIO()
    picture(i).save(buffer, "PNG")
    return buffer.getvalue()


def put(path, i):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(png(i))


IMAGES = {"train": range(8), "test": range(8, 12)}


def image_folder():
    for split, numbers in IMAGES.items():
        for i in numbers:
            put(f"pictures/{split}/{'ab'[i % 2]}/{i}.png", i)
    return {"path": "pictures"}


def image_folder_with_metadata():
    for split, numbers in IMAGES.items():
        for i in numbers:
            put(f"pictures/{split}/{i}.png", i)
        rows = [{"file_name": f"{i}.png", "label": "ab"[i % 2], "taken": i} for i in numbers]
        write(f"pictures/{split}/metadata.csv", delimited(rows))
    return {"path": "pictures"}


def csv_of_paths(folder=""):
    for split, numbers in IMAGES.items():
        for i in numbers:
            put(f"{split}s/deep/{i}.png", i)
        rows = [{"image": f"{folder}deep/{i}.png", "label": "ab"[i % 2]} for i in numbers]
        write(f"{split}s/list.csv", delimited(rows))
    return {"path": "csv", "data_files": {split: f"{split}s/list.csv" for split in IMAGES}}


def csv_of_paths_beside_a_folder():
    csv_of_paths()
    for split in IMAGES:
        Path(f"{split}s/list.csv").rename(f"{split}.csv")
        write(f"{split}.csv", Path(f"{split}.csv").read_text().replace("deep/", f"{split}s/deep/"))
    return {"path": ".", "data_files": {split: f"{split}.csv" for split in IMAGES}}


def parquet_of(value, feature):
    for split, numbers in IMAGES.items():
        rows = [{"image": value(i), "label": "ab"[i % 2], "labels": 7, "row": "x"} for i in numbers]
        types = {"label": Value("string"), "labels": Value("int64"), "row": Value("string")}
        table(f"files/{split}.parquet", rows, Features(image=feature, **types))
    return {"path": "files"}


IMAGE_SOURCES = {
    "folder": image_folder,
    "folder with metadata": image_folder_with_metadata,
    "csv of paths": csv_of_paths,
    "csv of absolute paths": lambda: csv_of_paths(f"{os.getcwd()}/REPLACED/"),
    "csv of paths in a folder": csv_of_paths_beside_a_folder,
    "parquet of images": lambda: parquet_of(picture, Image()),
    "parquet of bytes": lambda: parquet_of(png, Value("binary")),
    "parquet of bytes and paths": lambda: parquet_of(
        lambda i: {"bytes": png(i), "path": None}, {"bytes": Value("binary"), "path": Value("string")}
    ),
}


@pytest.mark.slow_but("csv of absolute paths")
@pytest.mark.parametrize("source", IMAGE_SOURCES)
def test_every_source_of_images_gives_the_same_pixels_and_labels_loaded_and_streamed(source):
    settings = IMAGE_SOURCES[source]()
    for split in IMAGES if "absolute" in source else ():
        lines = Path(f"{split}s/list.csv").read_text()
        write(f"{split}s/list.csv", lines.replace("/REPLACED/", f"/{split}s/"))
    splits, labels = images(**settings, validation="test")
    streamed, same = images(**settings, validation="test", streaming=True, classes=["a", "b"])
    assert labels == same
    assert labels.names == ("a", "b")
    for found in (splits, streamed):
        assert found.columns == {"image": "image", "label": "label"}
        for split, rows in (("train", found.train), ("validation", found.validation), ("test", found.test)):
            numbers = IMAGES["train" if split == "train" else "test"]
            expected = {(picture(i).tobytes(), i % 2) for i in numbers}
            assert {(row["image"].convert("RGB").tobytes(), row["labels"]) for row in rows} == expected
            assert set(next(iter(rows))) == {"image", "labels", "row"}


def test_images_of_the_web_keep_their_address():
    rows = [{"image": f"https://example.org/{i}.png", "label": "ab"[i % 2]} for i in range(4)]
    splits, _ = images(table("web.csv", rows), validation=0.5)
    stored = splits.train.cast_column("image", Image(decode=False))
    assert all(row["image"]["path"].startswith("https://example.org/") for row in stored)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "letters"])
def test_a_streamed_built_in_set_is_the_built_in_set(name, monkeypatch):
    from hfft.data.builtin import letters

    monkeypatch.setattr(letters, "LETTERS_PER_GLYPH", {"train": 3, "test": 1})
    splits, labels = images(name, validation="test")
    streamed, same = images(name, validation="test", streaming=True)
    assert same == labels
    assert streamed.sizes == splits.sizes
    assert content(streamed.test, "row", "labels") == content(splits.test, "row", "labels")
    assert sorted(content(streamed.train, "row", "labels")) == content(splits.train, "row", "labels")
    assert next(iter(streamed.test))["image"].tobytes() == splits.test[0]["image"].tobytes()


MISSING = {
    "none.csv": "data.path: no file 'none.csv'; use an existing file",
    "./none": "data.path: no folder './none'; use an existing folder",
    "csv": "data.path: csv is a format; list the files in data.data_files, or set data.path to a folder",
}


@pytest.mark.parametrize("path", MISSING)
def test_data_that_is_not_there_is_named(path):
    refused(path, MISSING[path])


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("text,label\n", {}, "data set x.csv has no rows in its split train; use data that has some"),
        ("", {}, "x.csv: the file is empty; use a table with a header and rows"),
        (
            "text,label\na,b\nc,d,e,f\n",
            {},
            "x.csv: line 3 has 4 cells, but the header has 2; ",
        ),
        ("text,label\na,b\n", {"name": "other"}, "data set hub cannot be used: BuilderConfig 'other' not found. "),
    ],
)
def test_data_that_cannot_be_read_says_why_in_one_line(content, settings, message):
    write("x.csv", content)
    path = "x.csv"
    if settings:
        hub_layout("hub")
        path, settings = "hub", {"name": "others"}
        message = message.replace("'other'", "'others'")
    with pytest.raises(BadInput) as caught:
        load(path, **settings)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


# --- splits


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_a_split_with_a_usual_name_is_the_validation_split(name):
    files = {split: table(f"{split}.csv", rows) for split, rows in {**TEXTS, name: TEXTS["test"]}.items()}
    splits, _ = load("csv", data_files=files)
    assert splits.origin == {"train": "train", "validation": name, "test": "test"}
    assert content(splits.validation, "text") == content(splits.test, "text")
    assert len(splits.train) == 30


def test_splits_are_taken_by_the_names_that_the_recipe_gives():
    files = {"a": table("a.csv"), "b": table("b.csv", TEXTS["test"]), "test": table("c.csv", TEXTS["test"][:3])}
    splits, _ = load("csv", data_files=files, train="a", validation="test", test="b")
    assert splits.origin == {"train": "a", "validation": "test", "test": "b"}
    assert splits.sizes == {"train": 30, "validation": 3, "test": 9}


@pytest.mark.parametrize("role", ["train", "validation", "test"])
def test_an_unknown_split_is_named_with_the_nearest_and_what_there_is(role):
    files = {split: table(f"{split}.csv", rows) for split, rows in TEXTS.items()}
    message = f"data.{role}: no split 'tests'; did you mean 'test'? csv has: train, test"
    refused("csv", message, data_files=files, **{role: "tests"})


def test_an_empty_split_is_an_error():
    features = Features(text=Value("string"), label=Value("string"), extra=Value("int64"))
    for split, rows in {**TEXTS, "validation": []}.items():
        table(f"d/{split}.parquet", rows, features)
    with pytest.raises(BadInput) as caught:
        load("d")
    assert str(caught.value) == "data set d has no rows in its split validation; use data that has some"


SKEWED = [
    {"text": f"number {i}", "label": "a" if i % 10 else "b" if i % 20 else "c"} for i in range(400)
]  # 360, 20, 20


@pytest.mark.slow_but("test-0.5")
@pytest.mark.parametrize("share", [0.0146, 0.1, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("role", ["validation", "test"])
def test_a_share_is_stratified_seeded_disjoint_and_leaves_the_rest_to_train(role, share):
    path = table("skewed.csv", SKEWED)

    def parts(seed):
        splits, _ = load(path, seed=seed, **({"validation": 0.01} | {role: share}))
        return {name: content(rows, "row", "labels") for name, rows in splits.items()}, splits.origin

    found, origin = parts(1)
    assert abs(len(found[role]) - share * 400) <= 0.5
    for label, size in ((0, 360), (1, 20), (2, 20)):
        assert abs(sum(row[1] == label for row in found[role]) - share * size) <= 1
    everything = [row for rows in found.values() for row in rows]
    assert sorted(everything) == [(i, "abc".index(row["label"])) for i, row in enumerate(SKEWED)]
    assert all(rows == sorted(rows) for rows in found.values())
    assert origin[role] == f"{share:.3g} of train, stratified, seed 1"
    assert parts(1)[0] == found
    assert parts(2)[0][role] != found[role]


def test_two_shares_are_both_of_the_whole_and_apart():
    splits, _ = load(table("skewed.csv", SKEWED), validation=0.25, test=0.5)
    assert splits.sizes == {"train": 100, "validation": 100, "test": 200}
    assert Counter(splits.validation["labels"]) == {0: 90, 1: 5, 2: 5}
    rows = [set(part["row"]) for _, part in splits.items()]
    assert set.union(*rows) == set(range(400))


def test_a_share_never_takes_the_last_row_of_a_class():
    rows = [{"text": f"number {i}", "label": f"{i // 2}"} for i in range(40)]
    splits, labels = load(table("rare.csv", rows), validation=0.9)
    assert set(splits.train["labels"]) == set(range(labels.size)) == set(range(20))
    assert splits.sizes == {"train": 20, "validation": 20}


def test_a_share_of_many_small_classes_is_not_rounded_to_nothing():
    rows = [{"text": f"number {i}", "label": f"{i // 3}"} for i in range(300)]
    splits, _ = load(table("small.csv", rows), validation=0.1)
    assert splits.sizes == {"train": 270, "validation": 30}
    assert set(Counter(splits.validation["labels"]).values()) == {1}


def test_a_share_of_few_rows_is_one_row_at_least():
    rows = [{"text": f"number {i}", "label": "ab"[i % 2]} for i in range(4)]
    assert load(table("few.csv", rows))[0].sizes == {"train": 3, "validation": 1}


@pytest.mark.parametrize(
    ("count", "taken", "little"),
    [(48, 5, "; figures on 5 rows say little"), (295, 30, ""), (294, 29, "; figures on 29")],
)
def test_a_tenth_that_was_not_asked_for_is_told(count, taken, little):
    rows = [{"text": f"number {i}", "label": "ab"[i % 2]} for i in range(count)]
    path = table("default.csv", rows)
    (note,) = load(path)[0].notes
    assert note.startswith(
        f"validation: {taken} of {count} rows of train are set aside, since data.validation is not set; name a split or a "
        f"share, or none to train on all rows{little}"
    )
    assert load(path, validation=0.1)[0].notes == ()
    assert load(path, validation="none")[0].notes == ()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_split_that_the_recipe_leaves_off_is_not_there(streaming):
    data = hub_layout("hub", dict.fromkeys(("train", "validation", "test"), TEXTS["train"]))
    settings = {
        "streaming": streaming,
        "classes": sorted({row["label"] for row in TEXTS["train"]}) if streaming else None,
    }
    assert list(load(**data, **settings)[0].sizes) == ["train", "validation", "test"]
    assert list(load(**data, **settings, validation="none")[0].sizes) == ["train", "test"]
    assert list(load(**data, **settings, validation="none", test="none")[0].sizes) == ["train"]
    splits, _ = load(table("whole.csv"), validation="none", **settings)
    assert list(splits.sizes) == ["train"]
    if not streaming:
        assert splits.train["row"][:] == list(range(len(TEXTS["train"])))


def test_none_is_no_name_of_the_training_split():
    refused(table("x.csv"), "data.train: no split 'none' x.csv has: train", train="none")


def test_a_share_that_leaves_a_split_empty_is_an_error():
    rows = [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}]
    message = "data.validation: 0.1 of 2 rows leaves a split empty; use another share or a split"
    refused(table("two.csv", rows), message)


def test_shares_that_leave_nothing_to_train_on_are_an_error():
    message = "data.validation: 0.5 and data.test 0.5 of train leave no rows to train on; lower one"
    refused(table("x.csv"), message, validation=0.5, test=0.5)


def test_a_share_of_numbers_to_predict_is_drawn_from_all_rows():
    rows = [{"text": f"number {i}", "label": i / 7} for i in range(50)]
    splits, _ = load(table("numbers.csv", rows), problem="regression", validation=0.2, test=0.1)
    assert splits.sizes == {"train": 35, "validation": 10, "test": 5}
    assert splits.origin["test"] == "0.1 of train, seed 42"
    assert sorted(row for _, part in splits.items() for row in part["row"]) == list(range(50))


# --- caps


@pytest.mark.slow_but("100-counts2")
@pytest.mark.parametrize(
    ("cap", "counts"), [(3, {0: 1, 1: 1, 2: 1}), (30, {0: 10, 1: 10, 2: 10}), (100, {0: 60, 1: 20, 2: 20})]
)
def test_a_cap_on_train_is_drawn_in_turn_from_every_class(cap, counts):
    path = table("skewed.csv", SKEWED)
    splits, _ = load(path, validation="train", max_train_samples=cap)
    assert Counter(splits.train["labels"]) == counts
    assert splits.sizes == {"train": cap, "validation": 400}
    assert splits.origin["train"] == f"train, {cap} of 400 rows"
    assert splits.train["row"] == sorted(splits.train["row"])
    assert load(path, validation="train", max_train_samples=cap)[0].train["row"] == splits.train["row"]
    assert load(path, validation="train", max_train_samples=cap, seed=1)[0].train["row"] != splits.train["row"]


def test_a_cap_on_what_is_scored_keeps_the_proportions_of_the_classes():
    path = table("skewed.csv", SKEWED)
    splits, _ = load("csv", data_files={"train": path, "test": path}, validation=0.5, max_eval_samples=40)
    assert splits.sizes == {"train": 200, "validation": 40, "test": 40}
    assert Counter(splits.test["labels"]) == Counter(splits.validation["labels"]) == {0: 36, 1: 2, 2: 2}
    assert splits.origin["validation"] == "0.5 of train, stratified, seed 42, 40 of 200 rows"


def test_a_cap_that_is_larger_than_the_split_changes_nothing():
    path = table("x.csv")
    capped, _ = load(path, max_train_samples=27, max_eval_samples=1000)
    assert capped.origin == load(path)[0].origin
    assert capped.sizes == {"train": 27, "validation": 3}


def test_a_cap_below_the_number_of_classes_is_an_error():
    message = "data.max_train_samples: 2 rows cannot include all 3 classes of train; raise it"
    refused(table("x.csv"), message, max_train_samples=2)


# --- worse on purpose


def test_rows_are_sampled_then_cut_then_mislabelled_and_all_of_it_is_told():
    rows = [{"text": f"sentence {i}", "label": "abc"[i % 3]} for i in range(300)]
    path = table("x.csv", rows)
    options = {"max_train_samples": 240, "imbalance": 16, "validation": 0.1, "seed": 1}
    cut, _ = load(path, **options)
    assert cut.classes["train"] == {"a": 80, "b": 20, "c": 5}
    assert cut.classes["validation"] == {"a": 10, "b": 10, "c": 10}
    assert cut.origin["train"] == "train, 240 of 270 rows, 105 of 240 rows with imbalance 16"
    assert len(cut.content["train"]) == 105
    told = (
        "split train: 105 of 240 rows are used on purpose (data.imbalance=16): 'a' 80 of 80, 'b' 20 of 80, 'c' 5 of 80"
    )
    assert told in cut.notes
    splits, _ = load(path, **options, label_noise={"pair": 0.5})
    (changed,) = splits.wrong_labels.values()
    assert splits.train["row"] == cut.train["row"]
    assert sum(a != b for a, b in zip(splits.train["labels"], cut.train["labels"], strict=True)) == changed
    assert splits.validation["labels"] == cut.validation["labels"]
    assert splits.origin["train"] == f"{cut.origin['train']}, {changed} labels wrong on purpose"
    assert f"split train: {changed} of 105 rows have a wrong label on purpose (data.label_noise)" in splits.notes
    assert sum(splits.classes["train"].values()) == 105
    assert fingerprints(splits)["train"] != fingerprints(cut)["train"]
    assert fingerprints(splits)["validation"] == fingerprints(cut)["validation"]
    again = load(path, **options, label_noise={"pair": 0.5})[0]
    assert fingerprints(again) == fingerprints(splits)


def test_wrong_labels_are_drawn_among_the_classes_that_the_recipe_keeps():
    path = table("x.csv")
    kept, _ = load(path, classes=["a", "b"])
    splits, labels = load(path, classes=["a", "b"], label_noise={"symmetric": 0.5})
    (changed,) = splits.wrong_labels.values()
    assert labels.names == ("a", "b")
    assert splits.train["row"] == kept.train["row"]
    assert sum(a != b for a, b in zip(splits.train["labels"], kept.train["labels"], strict=True)) == changed > 0
    assert sum(splits.classes["train"].values()) == len(kept.train)


def test_nothing_worse_is_nothing_else():
    path = table("x.csv")
    plain, neutral = load(path)[0], load(path, imbalance=1, label_noise={"symmetric": 0})[0]
    assert fingerprints(plain) == fingerprints(neutral)
    assert (plain.notes, plain.origin, neutral.wrong_labels) == (neutral.notes, neutral.origin, {})


# --- columns


def test_columns_are_found_by_the_recipe_by_the_usual_name_or_by_type():
    rows = [{"text": f"t{i}", "other": f"o{i}", "label": "ab"[i % 2], "kind": "xy"[i % 2]} for i in range(20)]
    path = table("x.csv", rows)
    assert load(path)[0].columns == {"text": "text", "label": "label"}
    splits, labels = load(path, columns={"text": "other", "text_pair": "text", "label": "kind"})
    assert splits.columns == {"text": "other", "text_pair": "text", "label": "kind"}
    assert labels.names == ("x", "y")
    assert set(splits.train.column_names) == {"other", "text", "labels", "row"}
    features = Features(said=Value("string"), n=Value("int64"), topic=ClassLabel(names=["p", "q"]))
    splits, labels = load(table("y.parquet", [{"said": f"{i}", "n": i, "topic": i % 2} for i in range(20)], features))
    assert splits.columns == {"text": "said", "label": "topic"}
    assert labels.names == ("p", "q")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {},
            "data.columns.text: which column is it? x.csv has: one, two, n, label; choose one, as in data.columns.text=one",
        ),
        (
            {"text": "on"},
            "data.columns.text: no column 'on' in split train; did you mean 'one'? (it has: one, two, n, label)",
        ),
        (
            {"text": "one", "label": "labl"},
            "data.columns.label: no column 'labl' in split train; did you mean 'label'? (it has: one, two, n, label)",
        ),
        ({"text": "n"}, "data.columns.text: column 'n' has type Value('int64'), not text; choose another"),
        (
            {"text": "one", "text_pair": "n"},
            "data.columns.text_pair: column 'n' has type Value('int64'), not text; choose another",
        ),
        (
            {"text": "one", "text_pair": "one"},
            "data.columns.text_pair: column 'one' is already used for text; choose another",
        ),
    ],
)
def test_a_column_that_cannot_be_is_named_with_what_there_is(columns, message, streaming):
    rows = [{"one": f"a{i}", "two": f"b{i}", "n": i, "label": "ab"[i % 2]} for i in range(10)]
    refused(table("x.csv", rows), message, columns=columns, streaming=streaming, classes=["a", "b"])


def test_images_without_folders_of_classes_are_told():
    put("flat/1.png", 1)
    put("flat/2.png", 2)
    message = (
        "data.columns.label: no column is left for labels, flat has: image; use data with labels, such as a folder of "
        "images for each class"
    )
    refused("flat", message, task="image-classification")


def test_a_column_that_the_test_split_lacks_is_named():
    for split, name in (("train", "text"), ("test", "words")):
        table(f"d/{split}.parquet", [{name: "x", "label": i % 2} for i in range(4)])
    with pytest.raises(BadInput) as caught:
        load("d")
    message = "data set d cannot be used: not every file has the columns text, words; fix them or use others"
    assert str(caught.value) == message


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_of_questions_without_a_label_column_is_left_out_with_a_note(streaming):
    files = {"train": table("train.csv"), "test": table("test.csv", [{"text": "a question"}, {"text": "another"}])}
    splits, _ = load("csv", data_files=files, streaming=streaming, classes=["a", "b", "c"])
    assert splits.test is None
    assert "test" not in splits.origin
    assert splits.notes[0] == "split test has no labels and is not scored"
    assert [note for note in splits.notes if "test" in note] == [splits.notes[0]]


@pytest.mark.parametrize("streaming", [False, True])
def test_images_that_are_none_are_told_before_training(streaming):
    rows = [{"image": f"word {i}", "number": i, "label": "ab"[i % 2]} for i in range(4)]
    path, settings = (
        table("x.csv", rows),
        {"task": "image-classification", "streaming": streaming, "classes": ["a", "b"]},
    )
    message = (
        "data.columns.image: column 'image' contains text ('word 0') and there is no file word 0; choose a column of "
        "images, or fix the paths"
    )
    refused(path, message, **settings)
    message = "data.columns.image: column 'number' has type Value('int64'), not images; choose another"
    refused(path, message, columns={"image": "number"}, **settings)


@pytest.mark.parametrize("streaming", [False, True])
def test_columns_of_the_data_called_like_those_of_hfft_do_no_harm(streaming):
    names = {"text": "row", "text_pair": "labels", "label": "length"}
    rows = [{"row": f"a{i}", "labels": f"b{i}", "length": "xy"[i % 2], "text": "no", "label": "no"} for i in range(8)]
    settings = {"streaming": streaming, "classes": ["x", "y"], "validation": "train"}
    splits, labels = load(table("x.csv", rows), columns=names, **settings)
    text, pair = splits.columns["text"], splits.columns["text_pair"]
    found = sorted(content(splits.train, "row", text, pair, "labels"))
    assert found == [(i, f"a{i}", f"b{i}", i % 2) for i in range(8)]
    assert labels.names == ("x", "y")


# --- streams


@pytest.fixture
def classes_in_features():
    """A data set of the hub's layout whose features name the classes; its test split is unlabelled."""
    features = Features(text=Value("string"), label=ClassLabel(names=["c", "a", "b"]), labels=Value("string"))
    rows = [{"text": f"number {i}", "label": i % 3, "labels": "?"} for i in range(30)]
    unlabelled = [{"text": f"number {i}", "label": -1, "labels": "?"} for i in range(5)]
    return hub_layout("hub", {"train": rows, "validation": rows[:6], "test": unlabelled}, features)


def test_a_stream_takes_classes_and_sizes_from_what_the_set_states(classes_in_features):
    splits, labels = load(**classes_in_features, streaming=True)
    assert labels.names == ("c", "a", "b")
    assert splits.sizes == {"train": 30, "validation": 6}
    assert splits.notes == ("split test has no labels and is not scored",)
    assert set(splits.origin) == {"train", "validation"}
    assert sorted(content(splits.train, "row", "labels")) == [(i, i % 3) for i in range(30)]


def test_a_streamed_choice_of_classes_leaves_the_others_out_and_makes_the_size_unknown(classes_in_features):
    splits, labels = load(**classes_in_features, streaming=True, classes=["b", "c"])
    assert labels.names == ("b", "c")
    assert splits.sizes == {"train": None, "validation": None}
    assert content(splits.validation, "row", "labels") == [(0, 1), (2, 0), (3, 1), (5, 0)]
    whole, same = load(**classes_in_features, classes=["b", "c"])
    assert same == labels
    assert sorted(content(splits.train, "row", "labels")) == content(whole.train, "row", "labels")


def test_a_cap_on_a_stream_takes_its_first_rows(classes_in_features):
    splits, _ = load(**classes_in_features, streaming=True, max_train_samples=10, max_eval_samples=4)
    assert splits.sizes == {"train": 10, "validation": 4}
    assert sorted(splits.train["row"]) == list(range(10))
    assert list(splits.validation["row"]) == list(range(4))
    assert load(**classes_in_features, streaming=True, max_train_samples=1000)[0].sizes["train"] == 30
    path = table("unsized.csv")
    assert load(path, streaming=True, classes=["a", "b", "c"])[0].sizes == {"train": None}
    assert load(path, streaming=True, classes=["a", "b", "c"], max_train_samples=5)[0].sizes == {"train": 5}


def test_a_stream_of_images_is_stored_undecoded(monkeypatch):
    decoded = []
    decode = datasets.Image.decode_example
    monkeypatch.setattr(datasets.Image, "decode_example", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    splits, _ = images("digits", streaming=True)
    next(iter(splits.stored["train"]))
    assert not decoded
    next(iter(splits.train))
    assert len(decoded) == 1


def test_a_streamed_image_that_cannot_be_decoded_is_named():
    for i in range(6):
        put(f"pictures/train/{'ab'[i % 2]}/{i}.png", i)
    Path("pictures/train/b/3.png").write_bytes(b"none")  # row 4 of a, a, a, b, b, b
    splits, _ = images("pictures", streaming=True)
    with pytest.raises(DataError) as caught:
        list(splits.train)
    path = Path("pictures/train/b/3.png").resolve()
    assert (
        str(caught.value)
        == f"split train, row 4: the image cannot be decoded (UnidentifiedImageError): {path}; fix or drop it"
    )
