"""One pass over a table of text before it is loaded: which columns are numbers, and whether every line is where it belongs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from hfft.data.source.swallowed import Long, long_records, split_verdict
from hfft.data.tables.dialect import Dialect, Head, undecodable
from hfft.data.tables.endings import open_bytes
from hfft.errors import DataError
from hfft.wording import first_line

LONGEST = 1 << 26  # bytes of a record
INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"  # what is written back as it was read, within 64 bits
NUMBER = (
    r"^-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?$"  # 007 is a name, and so is an id of 20 digits
)
TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


class Misread(DataError):
    """A line is not where it belongs, and marks that were taken for quotes may be the cause."""


class TooLong(Misread):
    """A record is longer than a block."""


@dataclass(frozen=True)
class Survey:
    """What a pass over a table found.

    Attributes:
        kinds: column -> `integer`, `number` or `text`; None if all of its cells are missing.
        rows: number of rows.
        notes: remarks for the user.
    """

    dialect: Dialect
    kinds: dict[str, str | None]
    rows: int
    notes: list[str]


def survey(head: Head, missing: Sequence[str], limit: int | None = None) -> Survey:
    """Read a table once, as text, and find the types of its columns. A tab-separated table whose marks are no quotes is read
    without quotes.

    Args:
        missing: cells that count as missing.
        limit: number of bytes after which to stop.

    Raises:
        DataError: a row has more or fewer cells than the header, a quotation swallows rows, or bytes are not in the encoding.
    """
    dialect = head.dialect
    if dialect.stated or dialect.sep != "\t" or dialect.quoting == "none":
        return _survey_long(head, dialect, missing, limit)
    try:
        return _survey_long(head, dialect, missing, limit, rare=True)
    except Misread:
        try:
            return _survey_long(head, replace(dialect, quoting="none"), missing, limit)
        except Misread:
            return _survey_long(head, dialect, missing, limit)


def kind_of_values(values: pa.Array, kind: str | None) -> str | None:
    """The kind of a column of texts, of which some values are known to be of a kind."""
    values = values.drop_null()
    if kind == "text" or not len(values):
        return kind
    for name, pattern in (("integer", INTEGER), ("number", NUMBER)):
        if (name == kind or kind in (None, "integer")) and pc.all(pc.match_substring_regex(values, pattern)).as_py():
            return name
    return "text"


def common(kinds: Sequence[str | None]) -> str | None:
    """The kind that all values of these kinds have."""
    given = {kind for kind in kinds if kind}
    return "text" if "text" in given else "number" if "number" in given else next(iter(given), None)


def read_batches(
    head: Head, dialect: Dialect, types: dict[str, pa.DataType], missing: Sequence[str], bad: list[Any] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a table as Arrow, block by block.

    Args:
        types: the columns to read, in this order, and their types.
        bad: gets the records that have another number of cells; by default they are an error.

    Raises:
        Misread: a record is too long.
        DataError: a cell does not have the type, or bytes are not in the encoding.
    """

    def odd(record: Any) -> str:
        if bad is None:
            return "error"
        bad.append(record)
        return "skip"

    quoted = dialect.quoting != "none"
    parse = pa.csv.ParseOptions(
        delimiter=dialect.sep, quote_char='"' if quoted else False, newlines_in_values=quoted, invalid_row_handler=odd
    )
    convert = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=list(missing), strings_can_be_null=bool(missing)
    )
    read = pa.csv.ReadOptions(
        use_threads=False,
        block_size=dialect.block,
        column_names=head.columns,
        skip_rows=head.blank,
        skip_rows_after_names=1,
        encoding=dialect.encoding,
    )
    if head.whole and not head.rows:
        return
    with open_bytes(head.path) as file:
        try:
            yield from pa.csv.open_csv(file, read_options=read, parse_options=parse, convert_options=convert)
        except UnicodeError:
            raise undecodable(head.path, dialect.encoding) from None
        except pa.ArrowInvalid as error:
            text = first_line(error)
            if "UTF8" in text or "UTF-8" in text:
                raise undecodable(head.path, dialect.encoding) from None
            if "straddling" in text:
                line = _line_of(head, dialect, None)
                raise TooLong(
                    f"{head.path}: the record in line {line} is longer than {dialect.block >> 20} MB; if a quotation mark is not "
                    f"closed there, close it or set data.quoting=none"
                ) from None
            raise DataError(f"{head.path}: {text}; fix the cell, or read all of it without data.streaming") from None


def _survey_long(head: Head, dialect: Dialect, missing: Sequence[str], limit: int | None, rare: bool = False) -> Survey:
    """The survey, again in larger blocks if a record does not fit in one: small blocks are read in half the time."""
    try:
        return _survey(head, dialect, missing, limit, rare)
    except TooLong:
        return _survey(head, replace(dialect, block=LONGEST), missing, limit, rare)


def _survey(head: Head, dialect: Dialect, missing: Sequence[str], limit: int | None, rare: bool) -> Survey:
    kinds: dict[str, str | None] = dict.fromkeys(head.columns)
    rows, seen, bad = 0, 0, list[Any]()
    long: list[Long] = []
    last = None
    for batch in read_batches(head, dialect, dict.fromkeys(head.columns, pa.string()), missing, bad):
        if bad:
            break
        for name, column in zip(head.columns, batch.columns, strict=True):
            kinds[name] = kind_of_values(column, kinds[name])
        long += long_records(batch, dialect.sep, rows)
        last = batch if batch.num_rows else last
        rows, seen = rows + batch.num_rows, seen + batch.nbytes
        if limit is not None and seen > limit:
            last = None
            break
    if bad:
        raise _ragged(head, dialect, bad)
    if last is not None and _unclosed(head, dialect, last):
        line = _line_of(head, dialect, rows)
        raise Misread(
            f"{head.path}: the quotation mark that opens in line {line} is not closed; close it, or set data.quoting=none"
        )
    notes = _judge(head, dialect, missing, long, rare) if long and not dialect.stated else []
    return Survey(dialect, kinds, rows, notes)


def _judge(head: Head, dialect: Dialect, missing: Sequence[str], long: list[Long], rare: bool) -> list[str]:
    """Notes on cells of several lines that could be rows.

    Args:
        rare: whether such cells are rarer than stray marks, as texts with tabs are.

    Raises:
        Misread: they are rows that a mark has swallowed.
    """
    batches = read_batches(head, dialect, dict.fromkeys(head.columns, pa.string()), missing)
    sure, unsure = split_verdict(long, batches, len(head.columns))
    if rare:
        sure, unsure = long, []
    for each in sure[:1]:
        line = _line_of(head, dialect, each.record + 1)
        raise Misread(
            f"{head.path}: a quotation mark that opens in line {line} takes {len(each.lines)} lines that look like rows for "
            f"one cell; set data.quoting=none if marks are characters, =minimal if that is one text, or close it"
        )
    line = _line_of(head, dialect, unsure[0].record + 1)
    count = f"{len(unsure)} cells of several lines hold" if unsure[1:] else "a cell of several lines holds"
    return [
        f"{head.path}: {count} as many separators in each line as a row (line {line}); if they are rows, set "
        f"data.quoting=none, otherwise data.quoting=minimal"
    ]


def _unclosed(head: Head, dialect: Dialect, last: pa.RecordBatch) -> bool:
    """Whether the file ends within a quotation that holds line breaks."""
    cell = last.columns[-1][-1].as_py()
    if dialect.quoting == "none" or not cell or not re.search(r"[\r\n]", cell):
        return False
    tail = b""
    with open_bytes(head.path) as file:
        while raw := file.read(1 << 20):
            tail = (tail + raw)[-1000:]
    return not tail.replace(b"\0", b"").rstrip().endswith(b'"')


def _ragged(head: Head, dialect: Dialect, bad: list[Any]) -> Misread:
    """The error for records that have another number of cells than the header."""
    first = bad[0]
    line = _line_of(head, dialect, first.number - 1 - head.blank) if first.number else "?"
    more = f" (and {len(bad) - 1} more such line{'s' * (len(bad) > 2)})" if len(bad) > 1 else ""
    cells = (
        f"{first.actual_columns} cell{'s' * (first.actual_columns > 1)}, but the header has {first.expected_columns}"
    )
    cells += f" ({head.columns[0]!r:.40})" if first.expected_columns == 1 else ""
    if dialect.quoting != "none" and re.search(r"[\r\n]", first.text.strip()):
        remedy = "a quotation mark that opens there is not closed in its line: close it, or set data.quoting=none"
    else:
        remedy = f"put a text that holds {dialect.sep!r} in quotation marks, or fix the line"
        remedy += " (data.quoting is none)" if dialect.stated and dialect.quoting == "none" else ""
    return Misread(f"{head.path}: line {line} has {cells}{more}; {remedy}")


def _line_of(head: Head, dialect: Dialect, record: int | None) -> int:
    """The line in which a record begins (0 is the header); without a number, the last one that can be read."""
    with open_bytes(head.path) as file:
        text = io.TextIOWrapper(file, encoding=dialect.encoding, errors="replace", newline="")
        for _ in range(head.blank):
            text.readline()
        reader = dialect.reader(text)
        begins, count = 1, -1
        try:
            for row in reader:
                count += bool(row)
                if count == record:
                    break
                begins = reader.line_num + 1  # unless blank lines follow
        except csv.Error:  # a field longer than that module takes
            pass
        text.detach()
    return head.blank + begins
