"""Image folders: which folders are splits and which are classes, and every file that is not used is told."""

import os
from collections import Counter
from pathlib import Path

import datasets
import pytest
from PIL import Image

from hfft.data.file_paths import list_files
from hfft.data.image_paths import IMAGES, readable_endings
from hfft.data.source import load_raw
from hfft.data.source.media_folder import split_of
from hfft.data.spec import Data
from hfft.errors import BadInput, DataError


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    datasets.disable_progress_bars()


def put(*paths):
    """Write an image, or a few bytes if the ending is of another kind of file, at each path."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in readable_endings() and not path.name.startswith("._"):
            Image.new("RGB", (4, 3), (len(path.name), 90, 9)).save(path, "JPEG")
        else:
            path.write_bytes(b"bytes")


def load(path="d", **settings):
    return load_raw(Data(path=path, **settings))


def rows(found):
    """Split -> (path, class) of each row in order."""
    content = {}
    for split, part in found.splits.items():
        name = getattr(part.features.get("label"), "int2str", str)
        stored = part.cast_column("image", datasets.Image(decode=False))
        content[split] = [
            (os.path.relpath(row["image"]["path"], "d"), name(row["label"]) if "label" in row else None)
            for row in stored
        ]
    return content


def classes(found, split="train"):
    return dict(Counter(name for _, name in rows(found)[split]))


# --- splits and classes

WORDS = {  # files -> split -> classes with their counts
    "a class called train": (
        ["bus/1.png", "bus/2.png", "car/1.png", "train/1.png"],
        {"train": {"bus": 2, "car": 1, "train": 1}},
    ),
    "a word among others": (["test tube/1.png", "flask/1.png"], {"train": {"test tube": 1, "flask": 1}}),
    "all words among others": (
        ["test tube/1.png", "train station/1.png"],
        {"train": {"test tube": 1, "train station": 1}},
    ),
    "names of files": (
        ["day/train_1.png", "day/img.png", "night/val.png", "night/test-2.png"],
        {"train": {"day": 2, "night": 2}},
    ),
    "deeper folders": (
        ["cat/train/1.png", "dog/test/1.png"],
        {"train": {"train": 1, "test": 1}},
    ),
    "splits": (
        ["train/a/1.png", "train/b/1.png", "val/a/1.png", "test/b/1.png", "test/b/2.png"],
        {"train": {"a": 1, "b": 1}, "validation": {"a": 1}, "test": {"b": 2}},
    ),
    "other names of splits": (
        ["Training_set/a/1.png", "DEV/b/1.png", "testset/a/1.png"],
        {"train": {"a": 1}, "validation": {"b": 1}, "test": {"a": 1}},
    ),
    "years": (
        ["train2017/a/1.png", "val2017/b/1.png"],
        {"train": {"a": 1}, "validation": {"b": 1}},
    ),
    "one folder around all": (
        ["pets/images/train/a/1.png", "pets/images/train/b/1.png", "pets/images/test/a/1.png"],
        {"train": {"a": 1, "b": 1}, "test": {"a": 1}},
    ),
    "one split": (["train/a/1.png", "train/b/1.png"], {"train": {"a": 1, "b": 1}}),
    "a test split without classes": (
        ["train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png"],
        {"train": {"a": 1, "b": 1}, "test": {None: 2}},
    ),
    "no classes": (["1.png", "2.png"], {"train": {None: 2}}),
    "one class": (["a/1.png", "a/2.png"], {"train": {"a": 2}}),
    "one folder beside images": (["1.png", "2.png", "more/3.png"], {"train": {None: 3}}),
    "names with signs": (["a[1]/1*.png", "b?/1.png"], {"train": {"a[1]": 1, "b?": 1}}),
    "double underscores": (["__background__/1.png", "cat/1.png"], {"train": {"__background__": 1, "cat": 1}}),
    "outputs of a run": (
        ["a/1.png", "b/1.png", "b/2.png", "outputs/test.safetensors", "outputs/test.json"],
        {"train": {"a": 1, "b": 2}},
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_folders_of_the_first_level_are_splits_only_if_all_have_the_name_of_one(case):
    files, expected = WORDS[case]
    put(*(f"d/{file}" for file in files))
    whole, streamed = load(), load(streaming=True)
    assert {split: classes(whole, split) for split in whole.splits} == expected
    assert list(whole.splits) == list(expected)
    assert rows(streamed) == rows(whole)
    for split, part in streamed.splits.items():
        assert part.info.splits[split].num_examples == len(whole.splits[split])
        assert part.features == whole.splits[split].features
    assert streamed.notes == whole.notes
    for path, _ in (row for part in rows(whole).values() for row in part):
        assert Path("d", path).is_file()


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[
            (word, "train")
            for word in ("train", "Training", "TRAIN", "train_1", "train-set", "trainset", "train images")
        ],
        *[(word, "validation") for word in ("val", "valid", "validation", "dev", "Val.2", "val[1]")],
        *[(word, "test") for word in ("test", "testing", "eval", "evaluation", "test_data")],
        *[
            (word, None)
            for word in ("", "trains", "test tube", "train_test", "set", "vale", "protest", "1", "train_cat")
        ],
    ],
)
def test_a_name_is_that_of_a_split_if_it_has_one_such_word_and_nothing_else(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize("splits", [[""], ["train/", "test/", "validation/"]])
def test_plain_folders_give_the_rows_of_datasets_in_its_order(splits):
    names = ("b", "a c", "a", "B", "ä", "10", "9")
    put(*(f"d/{split}{name}/{i}.{end}" for split in splits for name in names for i, end in enumerate(("png", "JPG"))))
    expected = datasets.load_dataset("./d")
    found = load().splits
    assert list(found) == list(expected)
    for split in expected:
        assert found[split].features == expected[split].features
        undecoded = [part[split].cast_column("image", datasets.Image(decode=False)) for part in (found, expected)]
        assert undecoded[0][:] == undecoded[1][:]


def test_folders_that_are_one_split_are_told():
    put("d/train/a/1.png", "d/train/b/1.png", "d/val/a/2.png", "d/dev/b/2.png")
    found = load()
    assert classes(found, "validation") == {"a": 1, "b": 1}
    assert found.notes == ("d: folders val, dev are one split, validation",) or found.notes == (
        "d: folders dev, val are one split, validation",
    )


NESTED = {
    "same names": (
        ["a/s1/1.png", "b/s1/1.png", "b/s2/1.png"],
        ["a/s1", "b/s1", "b/s2"],
        "d: the folders of images have the same names, so classes are named by their path, such as 'b/s2'; if that is "
        "not meant, use one folder per class",
    ),
    "several depths": (
        ["a/1.png", "a/more/2.png", "b/1.png"],
        ["a", "a/more", "b"],
        "d: the folders of images lie at several depths, so classes are named by their path, such as 'b'; if that is "
        "not meant, use one folder per class",
    ),
    "other names": (
        ["animals/cat/1.png", "plants/oak/1.png"],
        ["cat", "oak"],
        "d: classes are named by the last folder: 'cat' for animals/cat",
    ),
}


@pytest.mark.parametrize("case", NESTED)
@pytest.mark.parametrize("split", ["", "train/"])
def test_nested_classes_are_named_by_their_path_where_the_last_folder_is_not_enough(case, split):
    files, names, note = NESTED[case]
    put(*(f"d/{split}{file}" for file in files))
    found = load()
    assert found.splits["train"].features["label"].names == names
    assert [name for _, name in rows(found)["train"]] == [
        os.path.dirname(file) if case != "other names" else file.split("/")[1] for file in files
    ]
    assert found.notes == (note,)


# --- files that are left out

LEFT_OUT = {
    "loose images": (
        ["a/1.png", "b/1.png", "2.png", "3.jpg"],
        "2 images beside the folders, so left out: 2.png, 3.jpg",
    ),
    "loose images of a split": (
        ["train/a/1.png", "train/b/1.png", "train/2.png"],
        "1 image beside the folders, so left out: train/2.png",
    ),
    "images beside splits": (
        ["train/a/1.png", "train/b/1.png", "2.png"],
        "1 image beside the folders, so left out: 2.png",
    ),
    "formats": (
        ["a/1.png", "b/1.png", "b/2.HEIC", "b/3.heic", "a/4.svg"],
        "3 images of formats that cannot be read here, so left out (2 .heic, 1 .svg); install pillow-heif, or convert "
        "them to .png or .jpg",
    ),
    "formats that no package reads": (
        ["a/1.png", "b/1.png", "b/2.svg"],
        "1 image of formats that cannot be read here, so left out (1 .svg); convert them to .png or .jpg",
    ),
    "other files": (
        ["a/1.png", "b/1.png", "b/2.png", "README.md", "b/notes.txt", "a/IMG_1"],
        "3 other files, so left out (1 .md, 1 without an ending, 1 .txt)",
    ),
    "hidden images": (
        ["a/1.png", "b/1.png", ".old/2.png", "a/.3.png"],
        "2 images with hidden names, so left out: .old/2.png, a/.3.png",
    ),
    "run folders": (
        [
            *[
                "a/1.png",
                "b/1.png",
                "runs/x/recipe.yaml",
                "runs/x/metrics.json",
                "runs/x/layers.json",
                "runs/x/plot.png",
            ],
            *(f"runs/x/checkpoint-{i}/test/state.json" for i in range(9)),
        ],
        "folders of runs, so left out: runs/x",
    ),
    "files of the system": (
        [
            *["a/1.png", "b/1.png", "a/._1.png", "a/.DS_Store", "b/Thumbs.db", "b/desktop.ini", ".git/config"],
            *["__MACOSX/a/._1.png", "__MACOSX/a/2.png", "@eaDir/a/1.png", "b/Icon\r"],
        ],
        None,
    ),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_files_that_are_left_out_are_counted_by_reason(case, monkeypatch):
    files, note = LEFT_OUT[case]
    known = readable_endings() - {".heic"}
    monkeypatch.setattr("hfft.data.image_paths.readable_endings", lambda: known)
    put(*(f"d/{file}" for file in files))
    found = load()
    assert sorted(classes(found)) == ["a", "b"]
    assert found.notes == (() if note is None else (f"d: {note}",))


def test_folders_without_an_image_are_told():
    put("d/a/1.png", "d/b/1.png", "d/only/1.svg", "d/only/2.svg")
    Path("d/empty/below").mkdir(parents=True)
    assert load().notes == (
        "d: 2 images of formats that cannot be read here, so left out (2 .svg); convert them to .png or .jpg",
        "d: folders in which no image can be read, so no classes: empty (empty), only (2 .svg)",
    )


def test_a_folder_of_which_nothing_can_be_read_is_refused():
    put("d/a/1.svg", "d/b/1.svg")
    with pytest.raises(DataError) as caught:
        load()
    message = "data.path: no image below d can be read (2 .svg; convert them to .png or .jpg)"
    assert str(caught.value) == message


def test_a_stated_image_folder_may_have_more_other_files_than_images():
    put("d/a/1.png", "d/b/1.png", *(f"d/texts/{i}.json" for i in range(9)))
    found = load("imagefolder", data_dir="d")
    assert classes(found) == {"a": 1, "b": 1}
    assert "imagefolder: 9 other files, so left out (9 .json)" in found.notes
    with pytest.raises(BadInput):
        load("imagefolder", data_dir="none")


def test_a_folder_with_as_many_tables_as_images_is_not_one_of_images():
    put("d/plot.png")
    for split in ("train", "test"):
        Path(f"d/{split}.csv").write_text("text,label\nx,a\ny,b\n")
    assert set(load().splits) == {"train", "test"}
    assert load().splits["train"].column_names == ["text", "label"]


def test_splits_that_a_card_lists_are_taken_as_it_says():
    put("d/one/a/1.png", "d/one/b/1.png", "d/two/a/2.png", "d/two/b/2.png")
    files = "\n".join(
        f"  - {{split: {split}, path: {folder}/**}}" for split, folder in (("train", "one"), ("test", "two"))
    )
    Path("d/README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}\n---\n")
    found = load()
    assert {split: classes(found, split) for split in found.splits} == {
        "train": {"a": 1, "b": 1},
        "test": {"a": 1, "b": 1},
    }


def test_linked_folders_are_read_and_a_circle_of_them_ends():
    put("far/1.png", "d/a/1.png")
    Path("d/b").symlink_to(Path("far").resolve())
    Path("d/c").symlink_to(Path("far").resolve())
    Path("far/back").symlink_to(Path("d").resolve())
    found = list_files(Path("d"), IMAGES)
    assert {"a/1.png", "b/1.png", "c/1.png"} <= set(found.files)
    Path("far/back").unlink()
    assert classes(load()) == {"a": 1, "b": 1, "c": 1}


DATA_FILES = {  # data.data_files -> split -> classes with their counts
    "all of a folder": ("d/**", {"train": {"train station": 2, "test": 2, "day": 1}}),
    "splits": (
        {"train": ["d/test/**", "d/day/*"], "validation": "d/train station/*.png", "test": "d/test/2.jfif"},
        {"train": {"test": 2, "day": 1}, "validation": {"train station": 2}, "test": {"test": 1}},
    ),
}


@pytest.mark.parametrize("case", DATA_FILES)
@pytest.mark.parametrize("streaming", [False, True])
def test_listed_files_are_read_like_a_folder(case, streaming):
    patterns, expected = DATA_FILES[case]
    put(
        "d/train station/1.png", "d/train station/2.png", "d/test/1.avif", "d/test/2.jfif", "d/day/1.png", "d/day/1.svg"
    )
    found = load("imagefolder", data_files=patterns, streaming=streaming)
    assert {split: classes(found, split) for split in found.splits} == expected
    assert found.notes == (
        "imagefolder: 1 image of formats that cannot be read here, so left out (1 .svg); convert them to .png or .jpg",
    )


# --- metadata


def named(folder, *files, label="x"):
    put(*(f"{folder}/{file}" for file in files))
    lines = [f"{file},{label},{i}" for i, file in enumerate(files)]
    Path(folder, "metadata.csv").write_text("\n".join(["file_name,label,taken", *lines]))


@pytest.mark.parametrize("folder", ["d", "d[1] *"])
def test_metadata_files_name_the_rows_and_images_that_they_do_not_name_are_told(folder):
    named(f"{folder}/train", "1.png", "2.png", "deep/test_3.png")
    named(f"{folder}/val[1]", "4.png", label="y")
    put(f"{folder}/train/5.png", f"{folder}/val[1]/6.png")
    for found in (load(f"./{folder}"), load(f"./{folder}", streaming=True)):
        content = rows(found)
        assert {split: sorted(os.path.basename(path) for path, _ in part) for split, part in content.items()} == {
            "train": ["1.png", "2.png", "test_3.png"],
            "validation": ["4.png"],
        }
        assert next(iter(found.splits["validation"]))["label"] == "y"
        assert found.notes == (
            f"./{folder}: 2 images named in no metadata file, so left out: train/5.png, val[1]/6.png",
        )


def test_one_metadata_file_beside_the_folders_names_the_rows_of_all_splits():
    named("d", "train/1.png", "train/2.png", "test/1.png")
    found = load()
    assert rows(found) == {
        "train": [("train/1.png", "x"), ("train/2.png", "x")],
        "test": [("test/1.png", "x")],
    }
    assert found.notes == ()


def test_a_metadata_file_in_a_folder_of_classes_gives_one_split():
    named("d", "train station/1.png", "cat/test.png", "loose.png")
    assert len(rows(load())["train"]) == 3
    assert list(load().splits) == ["train"]


# --- the cache


def test_the_rows_are_found_in_the_cache_unless_the_list_of_files_changes():
    put("d/a/1.png", "d/b/1.png")
    first = load().splits["train"]
    put("d/notes.txt", "d/a/.DS_Store")
    again = load().splits["train"]
    assert again._fingerprint == first._fingerprint
    assert again.cache_files == first.cache_files
    put("d/b/2.png")
    assert len(load().splits["train"]) == 3
    Path("d/b/2.png").rename("d/a/2.png")
    assert classes(load()) == {"a": 2, "b": 1}


# --- endings


@pytest.mark.parametrize(
    "end", [".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".tif", ".gif", ".bmp", ".PGM", ".jp2"]
)
def test_a_format_that_pillow_reads_is_read(end):
    for name in "ab":
        Path("d", name).mkdir(parents=True)
        Image.new("L", (4, 4), 9).save(f"d/{name}/1{end}")
    assert all(row["image"].size == (4, 4) for row in load().splits["train"])
    assert len(load().splits["train"]) == 2


@pytest.mark.parametrize("end", [".heic", ".eps", ".h5", ".mpg", ".wmf", ".pdf", ".grib", ".txt", ""])
def test_a_format_whose_pixels_pillow_does_not_read_is_none(end):
    assert end not in readable_endings() or end == ".heic"  # where pillow-heif is installed
