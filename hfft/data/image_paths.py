"""Which files below a folder are images; the same for training and for prediction."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import PIL.features
from PIL import Image

with contextlib.suppress(ImportError):  # where it is installed, .heic is one of the endings below
    import pillow_heif

    pillow_heif.register_heif_opener()

# Formats that Pillow knows by name but whose pixels it does not read itself, or only through another program.
_NO_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_BUILT_IN = {"AVIF": "avif", "JPEG": "jpg", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # format -> how Pillow was built
_READ_BY = {".heic": "pillow-heif", ".heif": "pillow-heif", ".hif": "pillow-heif"}
_OTHER_IMAGES = {*_READ_BY, ".avif", ".webp", ".jp2", ".jxl", ".svg", ".eps", ".ps", ".wmf", ".emf", ".exr", ".hdr"}
_OTHER_IMAGES |= {".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2", ".raw", ".dcm", ".mpo"}
_SYSTEM_FOLDERS = {"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information"}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}


@functools.cache
def readable_endings() -> frozenset[str]:
    """The file name endings, in lower case, of the image formats that the installed Pillow decodes."""
    known = Image.registered_extensions()
    lacking = {name for name, built in _BUILT_IN.items() if not PIL.features.check(built)}
    return frozenset(end for end, name in known.items() if name in Image.OPEN and name not in _NO_PIXELS | lacking)


def ending(path: str) -> str:
    """The ending of a file's name in lower case; empty if it has none."""
    return os.path.splitext(path)[1].lower()


@dataclass(frozen=True)
class Listing:
    """The files below a folder by kind, each as a sorted list of paths relative to it; files of the system are in none.

    Attributes:
        images: files with the ending of a format that can be read.
        unreadable: images of formats that cannot be read here.
        hidden: images in hidden folders, or with hidden names.
        others: all other files.
        runs: run folders, whose files are in none of these lists.
        folders: all other folders that are neither hidden nor the system's.
    """

    images: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def list_images(folder: Path) -> Listing:
    """The files below a folder, links to other folders included.

    Raises:
        OSError: a folder cannot be opened.
    """
    found = Listing()

    def visit(place: str, below: str, hidden: bool, above: frozenset[str]) -> None:
        real = os.path.realpath(place)
        if real in above:  # a link to a folder that this one is in
            return
        with os.scandir(place) as opened:
            entries = list(opened)
        run = bool(below) and _is_run({entry.name for entry in entries})
        if below and not hidden:
            (found.runs if run else found.folders).append(below)
        if not run:
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                hides = hidden or entry.name.startswith(".")
                if entry.is_dir():
                    if entry.name.lower() not in _SYSTEM_FOLDERS:
                        visit(entry.path, path, hides, above | {real})
                elif (kind := _kind(found, entry.name, hides)) is not None:
                    kind.append(path)

    visit(str(folder), "", False, frozenset())
    for paths in (found.images, found.unreadable, found.hidden, found.others, found.runs, found.folders):
        paths.sort()
    return found


def _is_run(names: set[str]) -> bool:
    """Whether a folder is one that a run writes, by what it contains."""
    return "recipe.yaml" in names and bool(names & {"metrics.json", "layers.json", "trainer_state.json"})


def sort_files(paths: Iterable[str]) -> Listing:
    """The files of a list by kind, in their order; none counts as hidden, since each was asked for."""
    found = Listing()
    for path in paths:
        if (kind := _kind(found, PurePosixPath(path).name, False)) is not None:
            kind.append(path)
    return found


def _kind(found: Listing, name: str, hidden: bool) -> list[str] | None:
    """The list that a file belongs to; None for a file of the system."""
    end, image = ending(name), ending(name) in readable_endings()
    if name.lower() in _SYSTEM_FILES or name.startswith("._"):
        return None
    if hidden:
        return found.hidden if image or end in _OTHER_IMAGES else None
    return found.images if image else found.unreadable if end in _OTHER_IMAGES else found.others


def by_ending(paths: Iterable[str]) -> str:
    """`4 .heic, 2 without an ending`: how many files have which ending, the most frequent first."""
    counts = Counter(ending(path) for path in paths)
    return ", ".join(f"{count} {end or 'without an ending'}" for end, count in counts.most_common(8))


def unreadable_remedy(paths: Iterable[str]) -> str:
    """What makes images readable whose format is not."""
    packages = sorted({_READ_BY[end] for path in paths if (end := ending(path)) in _READ_BY})
    return (
        f"install {' and '.join(packages)}, or convert them to .png or .jpg"
        if packages
        else "convert them to .png or .jpg"
    )
