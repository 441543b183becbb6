"""Images and labels in one `.npz`, as MedMNIST writes them: the same pixels and labels, or one line that says what is wrong."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest

from hfft.data.load import load_splits
from hfft.data.source import arrays, load_raw
from hfft.data.spec import Data
from hfft.data.tables.check import check_files
from hfft.errors import DataError
from hfft.tasks.table import TASKS
from tests import stand_ins


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def images(count, *shape, seed=0):
    """Random levels."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count, classes=3):
    """Classes as MedMNIST has them, a column."""
    return np.arange(count)[:, None] % classes


def saved(**given):
    """A file of these arrays."""
    np.savez("set.npz", **given)
    return Data(path="set.npz")


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3), (6, 5, 4)])
@pytest.mark.parametrize("packed", [False, True])
def test_rows_are_the_arrays(shape, packed, monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK", 100)  # several blocks
    pixels = images(7, *shape)
    (np.savez_compressed if packed else np.savez)("set.npz", train_images=pixels, train_labels=labels(7))
    rows = load_raw(Data(path="set.npz")).splits["train"]
    found = np.stack([np.asarray(image).reshape(shape) for image in rows["image"]])
    np.testing.assert_array_equal(found, pixels)
    assert list(rows["label"]) == labels(7)[:, 0].tolist()


def test_an_array_in_columns_is_read_too():
    pixels = images(7, 6, 5)
    rows = load_raw(saved(train_images=np.asfortranarray(pixels), train_labels=labels(7))).splits["train"]
    np.testing.assert_array_equal(np.stack([np.asarray(image) for image in rows["image"]]), pixels)


def test_the_three_splits_and_a_stream_are_the_same_rows():
    stand_ins.save_arrays(Path("set.npz"), train=9, val=4, test=5)
    splits, stream = load_raw(Data(path="set.npz")).splits, load_raw(Data(path="set.npz", streaming=True)).splits
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 9, "validation": 4, "test": 5}
    for name, rows in splits.items():
        assert stream[name].info.splits[name].num_examples == len(rows)
        assert [row["label"] for row in stream[name]] == list(rows["label"])
    loaded, meaning = load_splits(Data(path="set.npz"), TASKS["image-classification"])
    assert loaded.sizes == {"train": 9, "validation": 4, "test": 5}
    assert list(meaning.names) == [str(i) for i in range(9)]


def test_a_file_that_changes_is_read_anew():
    first = load_raw(saved(train_images=images(4, 5, 5), train_labels=labels(4))).splits["train"]
    second = load_raw(saved(train_images=images(6, 5, 5), train_labels=labels(6))).splits["train"]
    assert (len(first), len(second)) == (4, 6)


def test_a_column_for_each_class_is_a_label_of_several_classes():
    several = np.eye(14, dtype=np.int64)[np.arange(30) % 14] | np.eye(14, dtype=np.int64)[(np.arange(30) + 3) % 14]
    data = saved(train_images=images(30, 5, 5), train_labels=several, test_images=images(14, 5, 5, seed=1),
                 test_labels=several[:14])  # fmt: skip
    task = TASKS["image-classification"]
    data = data.model_copy(update={"classes": [f"finding {i}" for i in range(14)]})
    loaded, meaning = load_splits(data, replace(task, problem="multi_label_classification"))
    assert meaning.size == 14
    np.testing.assert_array_equal(np.array(loaded.test["labels"]), several[:14])


def volume():
    """A volume."""
    return images(4, 5, 5, 5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"images": images(4, 5, 5)}, r"has no array train_images \(it has: images\); add it"),
        ({"train_images": images(4, 5, 5)}, "has train_images, but no array train_labels"),
        (
            {"train_images": images(4, 5, 5), "train_labels": labels(4), "val_labels": labels(4)},
            "has val_labels, but no array val_images",
        ),
        (
            {"train_images": images(4, 5, 5), "train_labels": labels(3)},
            "train_images has 4 rows, but train_labels has 3",
        ),
        ({"train_images": images(4, 5, 5) / 255, "train_labels": labels(4)}, "has type float64, not uint8"),
        ({"train_images": volume(), "train_labels": labels(4)}, r"shape \(4, 5, 5, 5\), and volumes are not read"),
        ({"train_images": images(4, 25), "train_labels": labels(4)}, r"shape \(4, 25\); expected"),
        ({"train_images": images(4, 5, 5), "train_labels": labels(4) / 2}, "has type float64 and shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(given, said):
    with pytest.raises(DataError, match=said) as error:
        load_raw(saved(**given))
    assert "\n" not in str(error.value)


def test_pickled_arrays_are_refused_and_never_loaded():
    class Trap:
        def __reduce__(self):
            return open, ("trap", "w")

    with pytest.raises(DataError, match="train_labels holds pickled objects, which are not read"):
        load_raw(saved(train_images=images(1, 5, 5), train_labels=np.array([[Trap()]], dtype=object)))
    assert not Path("trap").exists()


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_a_file_that_is_no_archive_is_refused(content):
    if content is None:  # an archive of something else
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a.txt", "text")
        content = packed.getvalue()
    Path("set.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"set\.npz: is not a \.npz file of arrays"):
        load_raw(Data(path="set.npz"))


def test_a_file_that_is_cut_off_is_refused():
    saved(train_images=images(400, 5, 5), train_labels=labels(400))
    file = Path("set.npz")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"is not a \.npz file of arrays"):
        load_raw(Data(path="set.npz"))


def test_a_file_that_is_not_there_is_told_before_anything_is_loaded():
    with pytest.raises(DataError, match=r"data\.path: no file 'pathmnist\.npz'"):
        load_raw(Data(path="pathmnist.npz"))
    with pytest.raises(DataError, match=r"data\.path: no file 'pathmnist\.npz'"):
        check_files(Data(path="pathmnist.npz"), TASKS["image-classification"])
