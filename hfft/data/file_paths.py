"""Which files below a folder are images, or sounds; the same for training and for prediction."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_SYSTEM_FOLDERS = {"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information"}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}


@dataclass(frozen=True)
class Medium:
    """A kind of file that holds the input of one row.

    Attributes:
        name: what one such file holds, in messages.
        column: the column of the rows.
        folder: the name of a folder of such files for `data.path`, as `datasets` calls it.
        readable: the endings, in lower case, of the formats that can be read here.
        others: endings of further formats of this kind.
        remedy: paths of files of such formats -> what makes them readable.
        examples: endings that are suggested.
    """

    name: str
    column: str
    folder: str
    readable: Callable[[], frozenset[str]]
    others: frozenset[str]
    remedy: Callable[[Iterable[str]], str]
    examples: str


def ending(path: str) -> str:
    """The ending of a file's name in lower case; empty if it has none."""
    return os.path.splitext(path)[1].lower()


@dataclass(frozen=True)
class Listing:
    """The files below a folder by kind, each as a sorted list of paths relative to it; files of the system are in none.

    Attributes:
        medium: the kind of files that are looked for.
        files: files of it with the ending of a format that can be read.
        unreadable: files of it in formats that cannot be read here.
        hidden: files of it in hidden folders, or with hidden names.
        others: all other files.
        runs: run folders, whose files are in none of these lists.
        folders: all other folders that are neither hidden nor the system's.
    """

    medium: Medium
    files: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def remedy(self) -> str:
        """What makes the files readable whose format is not."""
        return self.medium.remedy(self.unreadable)


def list_files(folder: Path, medium: Medium) -> Listing:
    """The files below a folder, links to other folders included.

    Raises:
        OSError: a folder cannot be opened.
    """
    found = Listing(medium)

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
    for paths in (found.files, found.unreadable, found.hidden, found.others, found.runs, found.folders):
        paths.sort()
    return found


def sort_files(paths: Iterable[str], medium: Medium) -> Listing:
    """The files of a list by kind, in their order; none counts as hidden, since each was asked for."""
    found = Listing(medium)
    for path in paths:
        if (kind := _kind(found, PurePosixPath(path).name, False)) is not None:
            kind.append(path)
    return found


def most_frequent(listings: Sequence[Listing]) -> Listing:
    """The listing with the most files of its medium; the first of several."""
    return max(listings, key=lambda found: len(found.files) + len(found.unreadable))


def _is_run(names: set[str]) -> bool:
    """Whether a folder is one that a run writes, by what it contains."""
    return "recipe.yaml" in names and bool(names & {"metrics.json", "layers.json", "trainer_state.json"})


def _kind(found: Listing, name: str, hidden: bool) -> list[str] | None:
    """The list that a file belongs to; None for a file of the system."""
    end, medium = ending(name), found.medium
    readable = end in medium.readable()
    if name.lower() in _SYSTEM_FILES or name.startswith("._"):
        return None
    if hidden:
        return found.hidden if readable or end in medium.others else None
    return found.files if readable else found.unreadable if end in medium.others else found.others


def by_ending(paths: Iterable[str]) -> str:
    """`4 .heic, 2 without an ending`: how many files have which ending, the most frequent first."""
    counts = Counter(ending(path) for path in paths)
    return ", ".join(f"{count} {end or 'without an ending'}" for end, count in counts.most_common(8))
