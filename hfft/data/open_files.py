"""Images or sounds that a command line names: files, and all below folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hfft.data.file_paths import Medium, by_ending, list_files
from hfft.data.source.left_out import left_out_notes
from hfft.errors import DataError


def open_files(
    argument: str, medium: Medium, opened: Callable[[Path], Any], note: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    """(path, input) of a file, or of all files below a folder, sorted by name; one that cannot be read is a DataError.

    Args:
        opened: reads a file, or returns a DataError that says why it cannot be.
        note: told which files of a folder are left out.

    Raises:
        DataError: there is no such file, or none of this medium in the folder.
    """
    path, what = Path(argument), medium.name
    if not path.exists():
        raise DataError(f"no file or folder {argument!r}; give {what}s, or folders of them")
    if not path.is_dir():
        return iter([(str(path), opened(path))])
    found = list_files(path, medium)
    if not found.files:
        content = by_ending([*found.unreadable, *found.hidden, *found.others])
        remedy = found.remedy() if found.unreadable else f"expected files such as {medium.examples}"
        raise DataError(
            f"folder {argument} contains no {what} that can be read{f' ({content})' if content else ''}; {remedy}"
        )
    for line in left_out_notes(found, [], ""):
        note(f"{argument}: {line}")
    return ((str(path / name), opened(path / name)) for name in found.files)
