"""The files of a folder that are images: for prediction the same as for training, with the same pixels."""

import datasets
import numpy as np
import pytest
from PIL import Image

from hfft.data.file_paths import list_files
from hfft.data.image_paths import IMAGES
from hfft.data.image_processor import convert
from hfft.data.modality.image import ImageInputs, decoded
from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.errors import DataError

RAMP = np.tile(np.linspace(0, 1, 16), (16, 1))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Images of many kinds, and files that are none."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    grey, turned = Image.fromarray((RAMP * 255).astype(np.uint8)), Image.Exif()
    turned[Image.ExifTags.Base.Orientation] = 6
    clear = grey.convert("RGBA")
    clear.putalpha(90)
    for name in "ab":
        place = tmp_path / "d" / name
        place.mkdir(parents=True)
        Image.fromarray((RAMP * 65535).astype(np.uint16)).save(place / "sixteen.PNG")
        Image.fromarray((RAMP * 65535).astype(np.int32)).save(place / "integer.tif")
        Image.fromarray(RAMP.astype(np.float32)).save(place / "float.tiff")
        clear.save(place / "clear.png")
        clear.save(place / "clear.webp")
        grey.convert("P").save(place / "palette.gif", transparency=200)
        grey.convert("CMYK").save(place / "print.jpg")
        grey.save(place / "turned.jfif", "JPEG", exif=turned)
        grey.save(place / "small.avif")
        for other in (".DS_Store", "._clear.png", "Thumbs.db", "notes.txt", "x.svg"):
            (place / other).write_bytes(b"none")
    return tmp_path / "d"


def test_prediction_reads_the_files_and_pixels_of_training(folder):
    rows = load_raw(Data(path=str(folder))).splits["train"].cast_column("image", datasets.Image(decode=False))
    trained = {row["image"]["path"]: decoded(row["image"], "image", "train", 0) for row in rows}
    predicted = dict(ImageInputs().open(str(folder), print))
    assert list(predicted) == list(trained)
    assert len(predicted) == 18
    for path, image in predicted.items():
        found = [np.asarray(convert(each, "RGB")) for each in (image, trained[path])]
        assert np.array_equal(*found)
        assert np.ptp(found[0]) > 200 or "clear" in path, "a picture, neither white nor black"
        assert np.array_equal(found[0], np.asarray(ImageInputs().plain(image)))


def test_a_folder_without_an_image_that_can_be_read_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        list(ImageInputs().open(str(tmp_path), print))
    assert (
        str(caught.value)
        == f"folder {tmp_path} contains no image that can be read; expected files such as .png or .jpg"
    )
    (tmp_path / "x.svg").write_text("")
    with pytest.raises(DataError) as caught:
        list(ImageInputs().open(str(tmp_path), print))
    message = "contains no image that can be read (1 .svg); convert them to .png or .jpg"
    assert str(caught.value) == f"folder {tmp_path} {message}"


def test_the_check_of_rows_converts_as_training_does(folder):
    for path in list_files(folder, IMAGES).files:
        content = (folder / path).read_bytes()
        note = ImageInputs().inspect(({"bytes": content, "path": None},), ["image"])[1]
        assert bool(note) == (path[2:] in ("sixteen.PNG", "integer.tif", "float.tiff"))
