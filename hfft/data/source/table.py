"""Tables of text and of spreadsheets as `datasets`: how each file is written is found, and words stay words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets import ArrowBasedBuilder, Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict
from datasets.builder import Key
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.exceptions import DatasetGenerationError

from hfft.data.source import excel
from hfft.data.source.survey import TYPES, common, read_batches, survey
from hfft.data.tables.dialect import Head, describe_dialect, header_fault, read_head
from hfft.data.tables.endings import kind_of
from hfft.errors import DataError
from hfft.hub.errors import reading
from hfft.wording import listing

STREAM_HEAD = 1 << 26  # bytes of a streamed table that decide the types of its columns
VERSION = "1.0.0"  # of how tables are read: a change makes what `datasets` has cached invalid


@dataclass
class TableConfig(datasets.BuilderConfig):
    """How the files of one split are read.

    Attributes:
        heads: one for each file.
        missing: cells that count as missing.
    """

    features: Features | None = None
    heads: list[Head | excel.Sheet] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Table(ArrowBasedBuilder):
    """Reads files of one split, whose dialects and types are known."""

    BUILDER_CONFIG_CLASS = TableConfig
    VERSION = datasets.Version(VERSION)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=self.config.features)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        split = next(iter(self.config.data_files))
        return [datasets.SplitGenerator(name=split, gen_kwargs={"heads": self.config.heads})]

    def _generate_shards(self, heads: list[Any]) -> Iterator[str]:
        yield from (str(head.path) for head in heads)

    def _generate_tables(self, heads: list[Any]) -> Iterator[tuple[Key, pa.Table]]:
        schema = self.config.features.arrow_schema
        types = dict(zip(schema.names, schema.types, strict=True))
        for i, head in enumerate(heads):
            for j, batch in enumerate(_batches(head, types, self.config.missing)):
                yield Key(i, j), pa.Table.from_batches([batch], pa.schema(list(types.items()))).cast(schema)


def load(
    splits: Mapping[str, Sequence[Path]],
    what: str,
    sep: str | None = None,
    encoding: str | None = None,
    quoting: str | None = None,
    missing: Sequence[str] = ("",),
    named: Sequence[str] = (),
    streaming: bool = False,
) -> tuple[DatasetDict | IterableDatasetDict, list[str]]:
    """Every split of tables, and notes on how they are written.

    A column is of integers or of numbers if each of its cells, in all splits, is written as one; otherwise it is of text, so
    that `007`, `None`, `NA` and `true` stay what they are. Each file is read once for this before it is loaded (of a stream,
    its first 64 MB).

    Args:
        what: the name of the data, for messages.
        sep, encoding, quoting: how the files are written, where it is not to be found out.
        missing: cells that count as missing.
        named: columns that the recipe names.

    Raises:
        DataError: a file is empty, is written in another way than stated, has rows of different length, quotations that
            swallow rows, or other columns than the split's first file.
    """
    heads: dict[str, list[Head | excel.Sheet]] = {}
    kinds: dict[str, list[str | None]] = {}
    notes: list[str] = []
    for split, files in splits.items():
        heads[split], rows = [], 0
        for path in files:
            head, found, count, remarks = _survey(path, sep, encoding, quoting, missing, named, streaming)
            first = next(iter(heads[split]), head)
            if odd := set(first.columns) ^ set(head.columns):
                raise DataError(
                    f"{head.path}: its columns are not those of {first.path} (not in both: {listing(sorted(odd))}); fix "
                    f"them, or list other files in data.data_files"
                )
            for name, kind in found.items():
                kinds.setdefault(name, []).append(kind)
            heads[split].append(head)
            notes += remarks
            rows += count
        if not rows:
            raise DataError(f"data set {what} has no rows in its split {split}; use data that has some")
    types = {name: TYPES[common(given) or "text"] for name, given in kinds.items()}
    loaded: dict[str, Any] = {}
    with reading(f"data set {what}"):
        for split in splits:
            columns = heads[split][0].columns
            schema = pa.schema([(name, types[name]) for name in columns])
            loaded[split] = _load_split(split, heads[split], Features.from_arrow_schema(schema), missing, streaming)
    return (IterableDatasetDict if streaming else DatasetDict)(loaded), _once(notes)


def _survey(
    path: Path,
    sep: str | None,
    encoding: str | None,
    quoting: str | None,
    missing: Sequence[str],
    named: Sequence[str],
    streaming: bool,
) -> tuple[Head | excel.Sheet, dict[str, str | None], int, list[str]]:
    """The head of a file with its dialect settled, column -> kind, the number of its rows, and notes."""
    if kind_of(path) == "excel":
        sheet, notes = excel.open_sheet(path)
        return sheet, *sheet.survey(missing), notes
    head = read_head(path, sep, encoding, quoting)
    header_fault(head, named)
    found = survey(head, missing, STREAM_HEAD if streaming else None)
    remark = describe_dialect(head.dialect, path)
    notes = [remark] if remark else []
    if found.dialect.quoting == "none" and not head.dialect.stated:
        notes.append(f"{path}: quotation marks are read as characters, since some are not closed (data.quoting=none)")
    return replace(head, dialect=found.dialect), found.kinds, found.rows, [*notes, *found.notes]


def _batches(
    head: Head | excel.Sheet, types: dict[str, pa.DataType], missing: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    if isinstance(head, excel.Sheet):
        return head.batches(types, missing)
    return read_batches(head, head.dialect, types, missing)


def _load_split(
    split: str, heads: list[Head | excel.Sheet], features: Features, missing: Sequence[str], streaming: bool
) -> Dataset | IterableDataset:
    """The rows of one split, cached by `datasets` under the names, sizes and times of its files."""
    stats = [head.path.stat() for head in heads]
    files = DataFilesList(
        [str(head.path.resolve()) for head in heads],
        [(str(s.st_size), str(s.st_mtime_ns), str(s.st_ctime_ns)) for s in stats],
    )
    builder = Table(data_files=DataFilesDict({split: files}), features=features, heads=heads, missing=list(missing))
    if streaming:
        return builder.as_streaming_dataset(split=split)
    try:
        builder.download_and_prepare()
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, DataError):
            raise error.__cause__ from None
        raise
    return builder.as_dataset(split=split)


def _once(notes: Sequence[str]) -> list[str]:
    """The notes without repetition."""
    return list(dict.fromkeys(notes))
