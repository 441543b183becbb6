"""How a table of text is written: its encoding, its separator and whether marks are quotes, found in its first bytes."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hfft.data.tables.endings import ending, open_bytes
from hfft.errors import DataError
from hfft.wording import listing

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
HEAD = 1 << 17  # bytes; also the longest field that the csv module takes
_MARKS = (  # longest first: the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Dialect:
    """How a table of text is written.

    Attributes:
        quoting: `minimal` (a mark at the start of a field opens a quotation) or `none` (a mark is a character).
        stated: whether the recipe says what marks are.
        block: bytes read at once, which the longest record must not exceed.
    """

    sep: str
    encoding: str = "utf-8"
    quoting: str = "minimal"
    stated: bool = False
    block: int = 1 << 20

    def records(self, text: str) -> list[list[str]]:
        """The records of a text, blank lines left out."""
        return [row for row in self.reader(io.StringIO(text, newline="")) if row]

    def reader(self, lines):  # type: ignore[no-untyped-def]
        """A reader of the csv module, which knows the number of its line."""
        quoting = csv.QUOTE_NONE if self.quoting == "none" else csv.QUOTE_MINIMAL
        return csv.reader(lines, delimiter=self.sep, quoting=quoting)


@dataclass(frozen=True)
class Head:
    """The first records of a table.

    Attributes:
        blank: number of lines before the header, which are blank or state the separator.
        whole: whether the table has no more rows than these.
    """

    path: Path
    dialect: Dialect
    columns: list[str]
    rows: list[list[str]]
    blank: int
    whole: bool


def read_head(
    path: str | Path, sep: str | None = None, encoding: str | None = None, quoting: str | None = None
) -> Head:
    """Find how a table is written, from its first bytes and what is stated, and read its first records.

    Raises:
        DataError: it is empty, its encoding is not UTF-8 and not stated, or the stated separator is not that of its header.
    """
    text, found, whole = head_text(path, encoding)
    if not text.strip():
        raise DataError(f"{path}: the file is empty; use a table with a header and rows")
    blank = len(re.match(r"(?:[^\S\t]*(?:\r\n|\r|\n))*", text)[0].splitlines())  # type: ignore[index]
    if line := re.match(r"sep=(.)(?:\r\n|\r|\n)", text):  # Excel's own way to state it
        sep, text, blank = sep or line[1], text[line.end() :], 1
    guess = _separator(text, whole, quoting, ending(path))
    first = next(line for line in text.splitlines() if line.strip())
    if sep is not None and sep not in first and guess in first:
        raise DataError(
            f"data.sep: {sep!r} does not occur in the header of {path} ({first!r:.80}), which looks separated by "
            f"{guess!r}; leave data.sep out"
        )
    dialect = Dialect(sep or guess, found, quoting or "minimal", quoting is not None)
    if quoting is None and dialect.sep == "\t" and _unquoted(text, "\t", whole):
        dialect = replace(dialect, quoting="none")
    header, *rows = _complete(dialect.records(text), whole)
    return Head(Path(path), dialect, column_names(header), rows, blank, whole)


def head_text(path: str | Path, encoding: str | None = None) -> tuple[str, str, bool]:
    """The first characters of a file, their encoding, and whether these are all.

    Raises:
        DataError: they are not UTF-8 and the encoding is not stated, or not in the stated one.
    """
    with open_bytes(path) as file:
        raw = file.read(HEAD)
        whole = not file.read(1)
    name = encoding or next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    if encoding is None and name == "utf-8" and b"\0" in raw:
        wide = next((f"utf-16-{side}" for side, at in (("le", 1), ("be", 0)) if not any(raw[at:400:2])), None)
        remedy = f"set data.encoding={wide}" if wide else f"remove them, if it is a {ending(path)} file"
        raise DataError(f"{path}: holds zero bytes, so it is not UTF-8 text; {remedy}")
    try:
        text = codecs.getincrementaldecoder(name)("strict").decode(raw, whole)
    except UnicodeError as error:
        raise _wrong_encoding(path, raw, encoding, getattr(error, "start", 0)) from None
    return text.removeprefix("\ufeff"), name, whole


def undecodable(path: str | Path, encoding: str) -> DataError:
    """The error for the first bytes of a file that are not in the encoding, found by reading it."""
    stated = None if encoding in ("utf-8", "utf-8-sig") else encoding
    line = 1
    with open_bytes(path) as file:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        while raw := file.read(1 << 20):
            pending = decoder.getstate()[0]
            try:
                decoder.decode(raw)
            except UnicodeDecodeError as error:
                return _wrong_encoding(path, pending + raw, stated, error.start, line)
            line += raw.count(b"\n")
    return DataError(f"{path}: ends within a character of {encoding}; it was cut off, or data.encoding is another")


def _wrong_encoding(path: str | Path, raw: bytes, stated: str | None, at: int, line: int = 1) -> DataError:
    """The error for bytes that are not in the encoding, with the word around them as another encoding reads it.

    Args:
        at: place of the first such byte in `raw`.
        line: number of the line with which `raw` begins.
    """
    if stated is not None:
        return DataError(f"{path}: is not in the encoding data.encoding={stated}; leave it out or set another")
    line += raw[:at].count(b"\n")
    word = raw[max(at - 12, 0) : at + 12].decode("cp1252", "replace")
    word = next((part for part in word.split() if any(ord(c) > 127 for c in part)), word)
    return DataError(
        f"{path}: line {line} is not UTF-8 (byte 0x{raw[at]:02x}); set data.encoding, such as data.encoding=cp1252, in "
        f"which it reads {word!r}"
    )


def column_names(header: list[str]) -> list[str]:
    """Names of columns that differ from each other, as pandas makes them: `Unnamed: 0` for none, `a.1` for a second `a`."""
    names: list[str] = []
    for i, name in enumerate(header):
        base = name.removeprefix("\ufeff").strip() or f"Unnamed: {i}"
        count, unique = 0, base
        while unique in names:
            count += 1
            unique = f"{base}.{count}"
        names.append(unique)
    return names


def header_fault(head: Head, named: Sequence[str] = ()) -> None:
    """Raise if the first line is a row and not names of columns; one that the recipe names is a name.

    Raises:
        DataError: there is no header.
    """
    cell = _cell_of_a_row(head)
    if cell is not None and not set(head.columns) & set(named):
        raise DataError(
            f"{head.path}: its first line looks like a row, not like names of columns ({cell!r:.60}); add a header"
        )


def _cell_of_a_row(head: Head) -> str | None:
    """A cell of the first line that is no name: a number above numbers, or a word that often recurs below it.

    None for a real header, such as the `0,1,2` that pandas writes for columns without names.
    """
    if head.columns == [str(i) for i in range(len(head.columns))]:
        return None
    for i, name in enumerate(head.columns):
        below = [row[i] for row in head.rows if i < len(row)]
        recurs = len(below) > 3 and below.count(name) >= max(2, len(below) // 10)
        if recurs or (_number(name) and below and all(map(_number, below))):
            return name
    return None


def _number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", text) is not None


def _complete(records: list[list[str]], whole: bool) -> list[list[str]]:
    """The records without the last one, if the head ends within it."""
    return records if whole or len(records) < 2 else records[:-1]


def _separator(text: str, whole: bool, quoting: str | None, end: str) -> str:
    """The separator by which most records have as many cells as the header, two at least; else the usual one of the ending."""
    usual = "\t" if end in (".tsv", ".tab") else ","
    ranks: dict[str, tuple[float, bool, int]] = {}
    for sep in SEPARATORS:
        for how in (quoting,) if quoting else ("minimal", "none"):
            try:
                records = _complete(Dialect(sep, quoting=how).records(text), whole)
            except csv.Error:
                continue
            size = len(records[0]) if records else 0
            if size > 1:
                share = sum(len(row) == size for row in records) / len(records)
                ranks[sep] = max(ranks.get(sep, (0.0, False, 0)), (share, sep == usual, size))
    return max(ranks, key=lambda sep: ranks[sep]) if ranks else usual


def _unquoted(text: str, sep: str, whole: bool) -> bool:
    """Whether a cell begins with a mark but is no quotation: something follows the mark that closes it, or none closes it."""
    end = rf"(?:{re.escape(sep)}|\r\n|\r|\n|$)"
    cell = re.compile(rf'("[^"]*(?:""[^"]*)*"(?={end})|[^{re.escape(sep)}\r\n]*){end}')
    at = 0
    while at < len(text) and (found := cell.match(text, at)):
        opened = text.startswith('"', at)
        if opened and not (len(found[1]) > 1 and found[1].endswith('"')):
            return whole or '"' in text[at + 1 :]
        at = found.end()
    return False


def describe_dialect(dialect: Dialect, path: Path) -> str | None:
    """A line about a table that is not written as its ending says; None for one that is."""
    usual = "\t" if ending(path) in (".tsv", ".tab") else ","
    parts = [] if dialect.sep == usual else [f"separated by {SEPARATORS.get(dialect.sep, repr(dialect.sep))}"]
    parts += [] if dialect.encoding.lower() in ("utf-8", "utf8") else [f"in {dialect.encoding}"]
    return f"{path}: read as a table {listing(parts)}" if parts else None
