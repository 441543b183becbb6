"""Files of rows of this machine, whatever their kind, as splits; `read_file` reads one alone."""

from __future__ import annotations

import glob
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset

from hfft.data.source import nested, table
from hfft.data.source.arguments import load_arguments
from hfft.data.source.raw import Raw
from hfft.data.spec import Data
from hfft.data.tables.dialect import head_text, undecodable
from hfft.data.tables.endings import open_bytes
from hfft.data.tables.files import Files, find_files, is_table_of_text
from hfft.errors import DataError
from hfft.hub.errors import reading


def read_file(
    path: str | Path,
    *,
    sep: str | None = None,
    encoding: str | None = None,
    quoting: str | None = None,
    missing: Sequence[str] = ("",),
    field: str | None = None,
) -> Dataset:
    """The rows of one file: a table of text or of a spreadsheet, JSON, Parquet, Arrow, or a text (a row for each line).

    Args:
        sep, encoding, quoting, missing, field: as in a recipe's data section.

    Raises:
        BadInput: there is no such file, or it cannot be read.
    """
    given: dict[str, Any] = {"sep": sep, "encoding": encoding, "quoting": quoting, "field": field}
    data = Data(path=str(path), missing=list(missing), **given)
    if not Path(path).expanduser().is_file():
        raise DataError(f"no file {str(path)!r}; use an existing file")
    files = find_files(data)
    assert files is not None  # it is a file
    return load(files, data).splits["train"]


def load(files: Files, data: Data) -> Raw:
    """Every split of files of one kind.

    Raises:
        BadInput: a file cannot be read.
    """
    kind, notes = files.kind, tuple(files.notes)
    for key, kinds in (("sep", ("csv", "text")), ("quoting", ("csv", "text")), ("field", ("json",))):
        if getattr(data, key) is not None and kind not in kinds:
            raise DataError(f"data.{key}: does not apply to {kind} files; leave it out, or use {kinds[0]} files")
    if kind == "text" and all(is_table_of_text(f, data) for f in _all(files.splits)):
        kind = "csv"
    if kind in ("csv", "excel"):
        named = [name for name in data.columns.model_dump().values() if isinstance(name, str)]
        how = (data.sep, data.encoding, data.quoting, data.missing)
        splits, remarks = table.load(files.splits, data.path, *how, named=named, streaming=data.streaming)
        return Raw(splits, notes=(*notes, *remarks))
    if kind == "json" and data.field is not None:
        return Raw(nested.load(files.splits, data), notes=notes)
    arguments: dict[str, Any] = {}
    if kind in ("json", "text"):
        encodings = {head_text(f, data.encoding)[1] for f in _all(files.splits) if f.stat().st_size}
        if len(encodings) > 1:
            raise DataError(f"data set {data.path}: its files have different encodings; write all in UTF-8")
        arguments["encoding"] = {"utf-8": "utf-8-sig"}.get(*encodings, *encodings) if encodings else "utf-8"
    named_files = {split: [glob.escape(str(f.resolve())) for f in found] for split, found in files.splits.items()}
    with reading(f"data set {data.path}"):
        try:
            found = datasets.load_dataset(kind, data_files=named_files, streaming=data.streaming, **arguments)
        except Exception as error:  # wrapped by `datasets`, or not
            if not any(isinstance(e, UnicodeError) for e in (error, error.__cause__, error.__context__)):
                raise
            raise _first_undecodable(_all(files.splits), arguments["encoding"]) from None
    return Raw(found, notes=notes)


def _first_undecodable(files: Sequence[Path], encoding: str) -> DataError:
    """The error for the first file that is not in the encoding."""
    for file in files:
        try:
            with open_bytes(file) as opened:
                for _ in io.TextIOWrapper(opened, encoding=encoding):
                    pass
        except UnicodeError:
            return undecodable(file, encoding)
    return DataError(f"data.encoding: not all files are in {encoding}; write them in UTF-8")


def load_described(data: Data) -> Raw | None:
    """The splits of a folder whose README lists files of tables, as data sets of the hub do; None for other folders.

    Raises:
        BadInput: there is no such configuration, or a file cannot be read.
    """
    folder = Path(data.path).expanduser()
    if not folder.is_dir() or not (folder / "README.md").is_file():
        return None
    arguments = {key: value for key, value in load_arguments(data).items() if key != "streaming"}
    with reading(f"data set {data.path}"):
        builder = datasets.load_dataset_builder(str(folder.resolve()), revision=data.revision, **arguments)
    config = builder.config
    if builder.name != "csv" or config.features is not None or builder.info.features is not None:
        return None
    splits = {str(split): [Path(file) for file in files] for split, files in config.data_files.items()}
    if any("://" in str(file) for file in _all(splits)):
        return None
    stated = Data(path=data.path, sep=config.sep if config.sep != "," else None)
    return load(Files("csv", splits), data.model_copy(update={"sep": data.sep or stated.sep}))


def _all(splits: Mapping[str, Sequence[Path]]) -> list[Path]:
    return [file for files in splits.values() for file in files]
