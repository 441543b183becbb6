"""What is told of the files and folders of a folder of images or sounds that are not used."""

from __future__ import annotations

from pathlib import PurePosixPath

from hfft.data.file_paths import Listing, by_ending
from hfft.wording import listing

SHOWN = 5  # number of files that a note lists


def is_metadata(path: str) -> bool:
    """Whether a file has a name by which `datasets` knows the metadata of a folder's files."""
    return PurePosixPath(path).name in ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def left_out_notes(files: Listing, beside: list[str], where: str) -> list[str]:
    """One line for each reason for which files are left out, and one for folders without a file that is.

    Args:
        beside: images or sounds without a row.
        where: why they have none.
    """
    notes, what = [], files.medium.name
    if beside:
        notes.append(f"{_count(beside, what)} {where}, so left out: {listing(beside, SHOWN)}")
    if files.hidden:
        notes.append(f"{_count(files.hidden, what)} with hidden names, so left out: {listing(files.hidden, SHOWN)}")
    if files.unreadable:
        some = f"{_count(files.unreadable, what)} of formats that cannot be read here, so left out"
        notes.append(f"{some} ({by_ending(files.unreadable)}); {files.remedy()}")
    others = [path for path in files.others if not is_metadata(path)]
    if others:
        notes.append(f"{_count(others, 'other file')}, so left out ({by_ending(others)})")
    if files.runs:
        notes.append(f"folders of runs, so left out: {listing(files.runs)}")
    above = {str(parent) for path in (*files.files, *files.runs) for parent in PurePosixPath(path).parents}
    empty = [path for path in files.folders if path not in above and str(PurePosixPath(path).parent) in above]
    if empty:
        shown = (f"{path} ({_content(path, [*files.unreadable, *files.others])})" for path in empty)
        notes.append(f"folders in which no {what} can be read, so no classes: {listing(shown)}")
    return notes


def _content(folder: str, paths: list[str]) -> str:
    return by_ending(path for path in paths if path.startswith(f"{folder}/")) or "empty"


def _count(paths: list[str], what: str) -> str:
    return f"{len(paths)} {what}{'s' if len(paths) > 1 else ''}"
