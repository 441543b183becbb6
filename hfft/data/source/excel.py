"""Spreadsheets: the first sheet of an Excel file as a table, read by openpyxl."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from hfft.data.source.survey import kind_of_values
from hfft.data.tables.dialect import column_names
from hfft.data.tables.endings import open_bytes
from hfft.errors import DataError
from hfft.wording import first_line, listing

ROWS = 10_000  # rows of a block


@dataclass(frozen=True)
class Sheet:
    """A sheet with its header."""

    path: Path
    name: str
    columns: list[str]

    def survey(self, missing: Sequence[str]) -> tuple[dict[str, str | None], int]:
        """Column -> `integer`, `number`, `text` or None, and the number of rows."""
        kinds: dict[str, str | None] = dict.fromkeys(self.columns)
        rows = 0
        for batch in self.batches(dict.fromkeys(self.columns, pa.string()), missing):
            kinds = {name: kind_of_values(batch.column(name), kinds[name]) for name in self.columns}
            rows += batch.num_rows
        return kinds, rows

    def batches(self, types: dict[str, pa.DataType], missing: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow; those without any cell are left out."""
        block: list[list[str | None]] = []
        for i, row in enumerate(_rows(self.path, self.name)):
            cells = [None if cell in missing else cell for cell in map(_text, row)]
            if i == 0 or not any(cell is not None for cell in map(_text, row)):
                continue
            if any(cell is not None for cell in cells[len(self.columns) :]):
                raise DataError(f"{self.path}: row {i + 1} has more cells than the header; name its columns or fix it")
            block.append((cells + [None] * len(self.columns))[: len(self.columns)])
            if len(block) == ROWS:
                yield self._batch(block, types)
                block = []
        if block:
            yield self._batch(block, types)

    def _batch(self, block: list[list[str | None]], types: dict[str, pa.DataType]) -> pa.RecordBatch:
        columns = dict(zip(self.columns, zip(*block, strict=True), strict=True))
        return pa.record_batch({name: pa.array(columns[name], pa.string()).cast(to) for name, to in types.items()})


def open_sheet(path: Path) -> tuple[Sheet, list[str]]:
    """The first sheet of a file, and a note if there are more.

    Raises:
        DataError: openpyxl is not installed, or this is no Excel file.
    """
    names = _sheet_names(path)
    header = next(iter(_rows(path, names[0])), None)
    if header is None or not any(cell is not None for cell in header):
        raise DataError(f"{path}: sheet {names[0]!r} is empty; put a header and rows into the first sheet")
    while header and header[-1] is None:
        header = header[:-1]
    note = f"{path}: only its first sheet {names[0]!r} is read (it has: {listing(names)})"
    return Sheet(path, names[0], column_names([_text(cell) or "" for cell in header])), [note] if names[1:] else []


def _workbook(file: Any, path: Path) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{path}: reading Excel files needs openpyxl; pip install 'hfft[excel]', or save as .csv"
        ) from None
    try:
        return openpyxl.load_workbook(file, read_only=True, data_only=True)
    except Exception as error:  # of zipfile, of XML parsers, KeyError: whatever the damage leads to
        raise DataError(f"{path}: is not an Excel file ({first_line(error)}); save it anew, or as .csv") from error


def _sheet_names(path: Path) -> list[str]:
    with open_bytes(path) as file:
        book = _workbook(file, path)
        names = [sheet.title for sheet in book.worksheets]
        book.close()
    if not names:
        raise DataError(f"{path}: has no sheets; save it anew, or as .csv")
    return names


def _rows(path: Path, name: str) -> Iterator[tuple[Any, ...]]:
    with open_bytes(path) as file:
        book = _workbook(file, path)
        yield from book[name].iter_rows(values_only=True)
        book.close()


def _text(cell: Any) -> str | None:
    """A cell as it would be written in a table of text."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)
