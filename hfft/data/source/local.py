"""Files and folders of this machine."""

from __future__ import annotations

from pathlib import Path

import datasets

from hfft.data.source import arrays, media_folder, rows, saved
from hfft.data.source.arguments import load_arguments, remote_tables
from hfft.data.source.raw import Raw
from hfft.data.spec import Data
from hfft.data.tables.files import FORMATS, find_files, is_pattern, missing_path
from hfft.errors import DataError
from hfft.hub.errors import reading


def is_local(data: Data) -> bool:
    """Whether the data is a file, a folder or a format of files, or is meant to be; otherwise it is a name on the hub."""
    return (
        Path(data.path).expanduser().exists()
        or data.path in {*FORMATS, *media_folder.FOLDERS}
        or is_pattern(data.path)
        or missing_path(data) is not None
    )


def load(data: Data) -> Raw:
    """Every split of the files.

    Raises:
        BadInput: a file or folder does not exist or cannot be read.
    """
    if data.path in {*FORMATS, *media_folder.FOLDERS} and not Path(data.path).exists():
        if data.data_files is None and data.data_dir is None:
            raise DataError(
                f"data.path: {data.path} is a format; list the files in data.data_files, or set data.path to a folder"
            )
    elif (wrong := missing_path(data)) is not None:
        raise DataError(wrong)
    if (stored := saved.load(data)) is not None:
        return stored
    if (images := arrays.load(data)) is not None:
        return images
    if (media := media_folder.load(data)) is not None:
        return media
    if (files := find_files(data)) is not None:
        return rows.load(files, data)
    if (described := rows.load_described(data)) is not None:
        return described
    arguments = load_arguments(data)
    if data.path == "csv":
        arguments |= remote_tables(data)
    file = Path(data.path).expanduser()
    arguments["path"] = str(file.resolve()) if file.is_dir() else data.path
    with reading(f"data set {data.path}"):
        return Raw(datasets.load_dataset(revision=data.revision, **arguments))
