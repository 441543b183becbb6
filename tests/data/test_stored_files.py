"""Pictures that change under the same names are other rows: for their checks, the fingerprint and the frozen cache."""

import os

import datasets
import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from hfft.data.fingerprint import fingerprints
from hfft.data.identity import identity
from hfft.data.load import load_splits
from hfft.data.modality.image import ImageRows, ImageStep
from hfft.data.spec import Data
from hfft.data.stored_files import dated, file_digest
from hfft.errors import DataError
from hfft.tasks.table import TASKS

TASK = TASKS["image-classification"]
FILE = datasets.Image(decode=False)


class Processor:
    """An image processor without settings."""

    def to_dict(self):
        return {}


def written(path, level, keep=False):
    """A picture at this path; with `keep`, with the time of the one that was there."""
    before = os.stat(path) if keep else None
    pixels = np.full((8, 8, 3), level, np.uint8)
    pixels[0, 0] = int(path.stem)
    Image.fromarray(pixels).save(path)
    if before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture(params=["table", "folder"])
def source(request, tmp_path):
    """Data whose images are files: a table of paths, or a folder of a folder for each class."""
    for name in "ab":
        (tmp_path / name).mkdir()
    files = [tmp_path / "ab"[i % 2] / f"{i}.png" for i in range(12)]
    for i, file in enumerate(files):
        written(file, 20 * i)
    if request.param == "folder":
        return Data(path=str(tmp_path), validation=0.25), files
    table = tmp_path / "t.csv"
    table.write_text("image,label\n" + "".join(f"{file},{file.parent.name}\n" for file in files))
    return Data(path=str(table), validation=0.25), files


def loaded(data):
    return load_splits(data, TASK)[0]


def rows_of(splits, name):
    step = ImageStep(Processor(), "image", name, None, 0)
    return ImageRows(getattr(splits, name), step, splits.content.get(name))


def file_of_row(splits, name, files):
    """The file of the first row of a split."""
    row = rows_of(splits, name).rows[0]
    return next(file for file in files if str(file) == row["image"]["path"])


@pytest.mark.slow_but("table-train-False", "folder-validation-True")
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", ["train", "validation"])
def test_a_changed_picture_changes_the_fingerprint_of_its_split(name, keep, source):
    data, files = source
    before = loaded(data)
    assert fingerprints(loaded(data)) == fingerprints(before)
    written(file_of_row(before, name, files), 255, keep)
    after = loaded(data)
    assert {
        split for split in ("train", "validation") if fingerprints(after)[split] != fingerprints(before)[split]
    } == {name}
    assert identity(rows_of(after, name)) != identity(rows_of(before, name))


def test_a_file_that_was_only_touched_is_the_same_row(source):
    data, files = source
    before = loaded(data)
    os.utime(files[0], (1, 1))
    after = loaded(data)
    assert fingerprints(after) == fingerprints(before)
    assert identity(rows_of(after, "train")) == identity(rows_of(before, "train"))


def test_a_picture_that_is_damaged_later_is_found(source):
    data, files = source
    loaded(data)
    files[3].write_bytes(b"not an image")
    with pytest.raises(DataError, match="cannot be decoded"):
        loaded(data)
    written(files[3], 9)
    assert sum(loaded(data).sizes.values()) == 12


def test_without_digests_the_files_themselves_are_read(source):
    data, files = source
    splits = loaded(data)
    rows = rows_of(splits, "train")
    bare = ImageRows(splits.train, rows.step)
    before = identity(bare)
    assert before == identity(rows)
    written(file_of_row(splits, "train", files), 255, keep=True)
    assert identity(bare) != before


def test_an_image_that_is_not_read_is_known_by_its_address():
    step = ImageStep(Processor(), "image", "train", None, 0)

    def at(address):
        stored = [{"bytes": None, "path": address}, {"bytes": b"x", "path": None}]
        rows = Dataset.from_dict({"image": stored, "labels": [0, 1], "row": [0, 1]})
        return ImageRows(rows.cast_column("image", FILE), step)

    assert file_digest({"bytes": None, "path": "https://x/a.png"}) == 0
    assert identity(at("https://x/a.png")) == identity(at("https://x/a.png"))
    assert identity(at("https://x/a.png")) != identity(at("https://x/b.png"))


def test_rows_that_hold_their_images_keep_their_fingerprint():
    rows = Dataset.from_dict({"image": [{"bytes": b"x", "path": "a.png"}]})
    rows = rows.cast_column("image", FILE)
    assert dated(rows, "image") is rows
