"""Cells of several lines, each of which would be a row by itself: a text, or rows that a stray quotation mark has swallowed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

CLASSES = 1000  # a column of more different values is not one of classes
NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Long:
    """A record of several lines, each of which has as many cells as a row.

    Attributes:
        record: its number; the first row is 0.
        cell: its first cell with a line break.
        lines: the cells of each line.
    """

    record: int
    cell: int
    lines: list[list[str]]


def long_records(batch: pa.RecordBatch, sep: str, before: int) -> list[Long]:
    """The records of a batch whose lines all have as many cells as a row.

    Args:
        before: number of records before the batch.
    """
    found = []
    for row in _broken(batch):
        cells = [column[row].as_py() or "" for column in batch.columns]
        lines = [line.split(sep) for line in _BREAK.split(sep.join(cells)) if line.strip()]
        if len(lines) > 1 and all(len(line) == len(cells) for line in lines):
            at = next(i for i, cell in enumerate(cells) if _BREAK.search(cell))
            found.append(Long(before + row, at, lines))
    return found


def _broken(batch: pa.RecordBatch) -> list[int]:
    """The rows with a line break in a cell."""
    found = set[int]()
    for column in batch.columns:
        buffer = column.buffers()[2]
        content = buffer.to_pybytes() if buffer else b""  # searched faster than cells
        for mark in (mark for mark in "\n\r" if mark.encode() in content):
            there = pc.match_substring(column, mark)
            found.update(pc.indices_nonzero(pc.fill_null(there, False)).to_pylist())
    return sorted(found)


def split_verdict(long: Sequence[Long], batches: Iterable[pa.RecordBatch], size: int) -> tuple[list[Long], list[Long]]:
    """The records that have swallowed rows, and those of which it is not known.

    Each line of a swallowed record has values that the columns have elsewhere: a number in a column of numbers, or a value that
    recurs in one of classes. The cells before the mark in the first line, and after the closing one in the last, are the
    record's own and say nothing. Where no column says anything, records of three lines or more count as swallowed.

    Args:
        batches: all records, in order.
        size: number of columns.
    """
    lines = [Counter(line[i].strip('"') for each in long for line in each.lines) for i in range(size)]
    seen: list[Counter[str] | None] = [Counter() for _ in range(size)]  # in the other records; None: too many values
    numbers = [True] * size
    skip, before = {each.record for each in long}, 0
    for batch in batches:
        rows = pa.array([i for i in range(batch.num_rows) if before + i not in skip], pa.int64())
        before += batch.num_rows
        for i, column in enumerate(batch.take(rows).columns):
            values = column.drop_null()
            numbers[i] = numbers[i] and pc.all(pc.match_substring_regex(values, f"^{NUMBER}$")).as_py() is not False
            known = seen[i]
            if known is not None:
                for pair in pc.value_counts(values).to_pylist():
                    known[pair["values"]] += pair["counts"]
                seen[i] = known if len(known) <= CLASSES else None
    total = before + sum(len(each.lines) - 1 for each in long)  # rows, if all lines are

    def of_classes(i: int) -> bool:
        known = seen[i]
        return known is not None and (0 < len(known) * 2 <= before or len(known.keys() | lines[i]) * 2 <= total)

    closed = [of_classes(i) for i in range(size)]
    tells = [i for i in range(size) if closed[i] or (numbers[i] and len(skip) < before)]

    def fits(line: list[str], columns: list[int]) -> bool:
        for i in columns:
            known: Any = seen[i] or {}
            cell = line[i].strip('"')
            if (numbers[i] and re.fullmatch(NUMBER, cell)) or (
                closed[i] and cell.strip() and (cell in known or lines[i][cell] > 1)
            ):
                return True
        return False

    sure: list[Long] = []
    unsure: list[Long] = []
    for each in long:
        last = len(each.lines) - 1
        asked = [
            (line, [i for i in tells if (j > 0 or i > each.cell) and (j < last or i < each.cell)])
            for j, line in enumerate(each.lines)
        ]
        telling = [(line, columns) for line, columns in asked if columns]
        swallowed = all(fits(line, columns) for line, columns in telling) if telling else len(each.lines) > 2
        (sure if swallowed else unsure).append(each)
    return sure, unsure
