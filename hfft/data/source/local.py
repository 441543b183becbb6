"""Files and folders of this machine."""

from __future__ import annotations

import re
from pathlib import Path

import datasets

from hfft.data.source import image_folder
from hfft.data.source.arguments import load_arguments
from hfft.data.source.raw import Raw
from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.hub.errors import reading

FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".txt": "text"}


def is_local(data: Data) -> bool:
    """Whether the data is a file, a folder or a format of files, or is meant to be; otherwise it is a name on the hub."""
    path = Path(data.path).expanduser()
    formats = {*FORMATS.values(), "imagefolder"}
    return path.exists() or path.suffix in FORMATS or data.path in formats or data.path.startswith((".", "/", "~"))


def load(data: Data) -> Raw:
    """Every split of the files.

    Raises:
        BadInput: a file or folder does not exist or cannot be read.
    """
    if (images := image_folder.load(data)) is not None:
        return images
    arguments = load_arguments(data)
    file = Path(data.path).expanduser()
    path = str(file.resolve()) if file.is_dir() else str(file) if data.path.startswith("~") else data.path
    if file.suffix in FORMATS and (file.is_file() or re.search(r"[*?\[]", path)):
        arguments["data_files"] = arguments.get("data_files") or path
        path = FORMATS[file.suffix]
    elif file.suffix in FORMATS:
        raise DataError(f"data.path: no file {path!r}; use an existing file")
    elif not file.exists() and path in (*FORMATS.values(), "imagefolder"):
        if not {"data_files", "data_dir"} & set(arguments):
            raise DataError(
                f"data.path: {path} is a format; list the files in data.data_files, or set data.path to a folder"
            )
    elif not file.exists():
        raise DataError(f"data.path: no folder {path!r}; use an existing folder")
    if path == "csv" and ".tsv" in str(arguments.get("data_files")):
        arguments["sep"] = "\t"
    with reading(f"data set {data.path}"):
        return Raw(datasets.load_dataset(path=path, revision=data.revision, **arguments))
