"""The formats of image files that can be read here."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable

import PIL.features
from PIL import Image

from hfft.data.file_paths import Medium, ending

with contextlib.suppress(ImportError):  # where it is installed, .heic is one of the endings below
    import pillow_heif

    pillow_heif.register_heif_opener()

# Formats that Pillow knows by name but whose pixels it does not read itself, or only through another program.
_NO_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_BUILT_IN = {"AVIF": "avif", "JPEG": "jpg", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # format -> how Pillow was built
_READ_BY = {".heic": "pillow-heif", ".heif": "pillow-heif", ".hif": "pillow-heif"}
_OTHERS = {*_READ_BY, ".avif", ".webp", ".jp2", ".jxl", ".svg", ".eps", ".ps", ".wmf", ".emf", ".exr", ".hdr"}
_OTHERS |= {".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2", ".raw", ".dcm", ".mpo"}


@functools.cache
def readable_endings() -> frozenset[str]:
    """The file name endings, in lower case, of the image formats that the installed Pillow decodes."""
    known = Image.registered_extensions()
    lacking = {name for name, built in _BUILT_IN.items() if not PIL.features.check(built)}
    return frozenset(end for end, name in known.items() if name in Image.OPEN and name not in _NO_PIXELS | lacking)


def unreadable_remedy(paths: Iterable[str]) -> str:
    """What makes images readable whose format is not."""
    packages = sorted({_READ_BY[end] for path in paths if (end := ending(path)) in _READ_BY})
    return (
        f"install {' and '.join(packages)}, or convert them to .png or .jpg"
        if packages
        else "convert them to .png or .jpg"
    )


IMAGES = Medium(
    name="image",
    column="image",
    folder="imagefolder",
    readable=lambda: readable_endings(),
    others=frozenset(_OTHERS),
    remedy=unreadable_remedy,
    examples=".png or .jpg",
)
