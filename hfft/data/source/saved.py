"""Folders that `Dataset.save_to_disk` and `DatasetDict.save_to_disk` wrote."""

from __future__ import annotations

import json
from pathlib import Path

import datasets

from hfft.data.source.raw import Raw
from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.hub.errors import reading
from hfft.wording import first_line


def load(data: Data) -> Raw | None:
    """The splits of a saved folder, of which a single set is `train`; None if the folder is none.

    Raises:
        BadInput: a file that it lists is missing or damaged.
    """
    folder = Path(data.path).expanduser() / (data.data_dir or "")
    try:
        if (folder / "dataset_dict.json").is_file():
            parts = {name: folder / name for name in _json(folder / "dataset_dict.json")["splits"]}
        elif (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
            parts = {"train": folder}
        else:
            return None
        files = {name: _files(part) for name, part in parts.items()}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"data.path: {folder} was not saved in whole ({first_line(error)}); save it again") from error
    with reading(f"data set {data.path}"):
        return Raw(datasets.load_dataset("arrow", data_files=files, streaming=data.streaming))


def _files(folder: Path) -> list[str]:
    files = [folder / entry["filename"] for entry in _json(folder / "state.json")["_data_files"]]
    for file in files:
        if not file.is_file():
            raise DataError(f"data.path: {folder} lists {file.name}, which does not exist; save it again")
    return [str(file.resolve()) for file in files]


def _json(file: Path):  # type: ignore[no-untyped-def]
    return json.loads(file.read_text(encoding="utf-8"))
