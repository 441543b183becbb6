"""Find rows that cannot be used, and rows that occur in two splits, before the first step; report them by split and row."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch
from datasets import Dataset, IterableDataset

from hfft.data.columns import RowError, inputs_of
from hfft.data.spec import Data
from hfft.data.splits import column as read_column
from hfft.errors import DataError
from hfft.wording import counted, listing, nearest, printable

if TYPE_CHECKING:
    from hfft.data.modality.base import Inputs

SHOWN = 10  # number of rows that a message lists
OPTIMISTIC = "its metrics are too optimistic"  # of a split with rows that are also in train
VERSION = 2  # version of `_inspect`: the cache identifies it by name, not by source
GRACE = 1000  # a stream's share of bad rows is taken of at least this many rows


class BadRow(Exception):
    """What is wrong with one row.

    Args:
        text: message with `{}` in place of the value; rows with the same message are reported together.
        remedy: what to do; by default to fix or drop the row.
        file: path of the file that the row is read from, if it has one of its own.
    """

    def __init__(self, text: str, value: Any = None, remedy: str = "", file: str | None = None):
        super().__init__(text.replace("{}", f"{value!r:.80}"))
        self.kind, self.remedy, self.file = text, remedy, file


class Faults:
    """Bad rows by split and kind; `data.on_bad_rows` decides what happens to them."""

    def __init__(self, data: Data):
        self.data, self.totals = data, dict[str, int]()
        self.starts: Mapping[str, tuple[tuple[str, int], ...]] = {}  # of the sets of a mix
        self._found: dict[tuple[str, str], list[tuple[int, BadRow]]] = {}

    def add(self, split: str, row: int, bad: BadRow) -> None:
        """Record a bad row."""
        self._found.setdefault((split, bad.kind), []).append((row, bad))

    def rows(self, split: str) -> set[int]:
        """The numbers of a split's bad rows."""
        return {row for (name, _), found in self._found.items() if name == split for row, _ in found}

    def refuse(self) -> None:
        """Raise if there are any bad rows.

        Raises:
            DataError: one line for each split and kind: the first rows, their count, what is wrong, and what to do.
        """
        if self._found:
            raise DataError(*(self._line(*key, found) for key, found in self._found.items()))

    def settle(self) -> dict[str, int]:
        """Split -> number of rows to leave out; raises unless the recipe allows bad rows to be skipped.

        Raises:
            DataError: bad rows must not be skipped, or are more than `data.max_bad_rows` of a split.
        """
        if self.data.on_bad_rows == "error":
            self.refuse()
        skipped = {split: len(self.rows(split)) for split, _ in self._found}
        for split, count in skipped.items():
            if count > self.data.max_bad_rows * self.totals[split]:
                lines = [self._line(*key, found) for key, found in self._found.items() if key[0] == split]
                more = f"split {split}: {count} of {self.totals[split]} rows are bad, above data.max_bad_rows="
                raise DataError(f"{more}{self.data.max_bad_rows:g}; raise it, or fix the rows", *lines)
        return skipped

    def notes(self, skipped: dict[str, int]) -> list[str]:
        """One line for each split from which rows are left out."""
        bad = {name: [bad for key, found in self._found.items() if key[0] == name for bad in found] for name in skipped}
        return [
            f"split {name}: {n} of {self.totals[name]} bad rows are left out{self._files(bad[name])}"
            for name, n in skipped.items()
        ]

    def _line(self, split: str, kind: str, found: list[tuple[int, BadRow]]) -> str:
        first, many = found[0][1], len(found) > 1
        numbers = listing(sorted(row for row, _ in found), SHOWN)
        where = f"rows {numbers} ({len(found)} of {self.totals[split]})" if many else f"row {numbers}"
        where += self._in_set(split, min(row for row, _ in found))
        remedy = first.remedy or f"fix {'them' if many else 'it'}, or set data.on_bad_rows=skip"
        return f"split {split}, {where}: {first}{self._files(found)}; {remedy}"

    def _in_set(self, split: str, row: int) -> str:
        """`, the first is row 8 of letters`, of a row of a mix."""
        for name, start in reversed(self.starts.get(split, ())):
            if row >= start:
                return f", the first is row {row - start} of {name}"
        return ""

    def _files(self, found: list[tuple[int, BadRow]]) -> str:
        """`: d/a/1.png, d/a/2.png`, as the recipe would name the files of bad rows."""
        root, shown = Path(self.data.path).expanduser(), []
        for _, bad in sorted(found, key=lambda row: row[0]):
            if bad.file is not None:
                inside = os.path.relpath(bad.file, root.resolve())
                shown.append(bad.file if inside.startswith("..") else str(root / inside))
        return f": {printable(listing(shown, SHOWN))}" if shown else ""

    def repeated(self, split: str, rows: Dataset, column: str) -> None:
        """Record rows that have no id, or the same id as an earlier row of the split.

        Raises:
            DataError: there is no such column.
        """
        if column not in rows.features:
            raise DataError(
                f"data.columns.id: no column {column!r} in split {split}{nearest(column, rows.features)} "
                f"(it has: {listing(rows.features)})"
            )
        seen: dict[str, int] = {}
        for row, value in enumerate(read_column(rows, column).to_pylist()):
            if value is None:
                self.add(split, row, BadRow(f"no id in column {column!r}"))
            elif seen.setdefault(str(value), row) != row:
                self.add(split, row, BadRow(f"id {{}} of column {column!r} also occurs in an earlier row", value))

    def without(self, rows: Dataset, split: str) -> Dataset:
        """The good rows of a split; their numbers are in their column `row`."""
        bad = self.rows(split)
        good = np.flatnonzero(~np.isin(read_column(rows, "row").to_numpy(), list(bad))) if bad else ()
        return rows.select(good) if bad and len(good) < len(rows) else rows


# --- content of the rows


@dataclass(frozen=True)
class Checked:
    """What the check of the rows' inputs found, besides bad rows.

    Attributes:
        twins: held-out split -> its rows that also occur in train, compared by the bytes of the image or the words of the text.
        content: split -> digests of its rows that are not bad, `(N,)`, 0 where the content is not read.
        remarks: what a user should know about how rows are read -> split -> number of its rows.
    """

    twins: dict[str, list[int]]
    content: dict[str, np.ndarray]
    remarks: dict[str, dict[str, int]]


def check(
    splits: dict[str, Dataset], source: Mapping[str, str], columns: Mapping[str, str], inputs: Inputs, faults: Faults
) -> Checked:
    """Check the inputs of every row, once per machine: the results are stored in the cache of `datasets`.

    Images are decoded (JPEG at an eighth of its size; images with a web address are not downloaded for this), and texts
    must not be empty. Bad rows are added to `faults`.

    Args:
        source: split -> the split whose rows its column `row` numbers, if it is another.
    """
    roles, digests, remarks = inputs_of(columns), {}, defaultdict[str, dict[str, int]](dict)
    for name, rows in splits.items():
        found = inspected(rows, roles, inputs)
        numbers = read_column(rows, "row").to_numpy()
        bad = np.flatnonzero(read_column(found, "fault").to_numpy() != "")
        for i, row in zip(bad.tolist(), inputs.stored(rows, roles).select(bad) if len(bad) else (), strict=True):
            file = inputs.file(tuple(row[column] for column in roles.values()))
            faults.add(source.get(name, name), int(numbers[i]), BadRow(found[i]["fault"], file=file))
        for remark, count in Counter(read_column(found, "remark").to_pylist()).items():
            if remark:
                remarks[remark][name] = count
        digests[name] = numbers, read_column(found, "digest").to_numpy()
    train = digests["train"][1]
    twins = {
        name: numbers[np.isin(values, train[train != 0])].tolist()
        for name, (numbers, values) in digests.items()
        if name != "train"
    }
    good = {
        name: values[~np.isin(numbers, list(faults.rows(source.get(name, name))))]
        for name, (numbers, values) in digests.items()
    }
    return Checked({name: rows for name, rows in twins.items() if rows}, good, dict(remarks))


def remark_notes(remarks: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One line for each remark, with the number of rows in each split."""
    found = []
    for remark, counts in sorted(remarks.items()):
        where = listing(f"{name} {count}" for name, count in counts.items())
        found.append(f"{counted(sum(counts.values()), 'row')} ({where}): {remark}")
    return found


def twin_notes(twins: dict[str, list[int]], source: Mapping[str, str]) -> list[str]:
    """One line for each held-out split that contains rows of train."""
    return [
        f"split {name}: {len(rows)} of its rows also occur in train (rows {listing(rows, SHOWN)}"
        f"{f' of {source[name]}' if name in source else ''}): {OPTIMISTIC}"
        for name, rows in twins.items()
    ]


def inspected(rows: Dataset, columns: Mapping[str, str], inputs: Inputs) -> Dataset:
    """What is wrong with the inputs of each row (`fault`, an empty string if nothing), their `digest` (0 if unread), a `remark`.

    Args:
        columns: role -> column of the inputs.
    """
    names = list(columns.values())
    return inputs.stored(rows.select_columns(names), columns).map(
        _inspect,
        batched=True,
        batch_size=256,
        input_columns=names,
        remove_columns=names,
        fn_kwargs={"inputs": inputs, "names": names, "version": VERSION},
        features=datasets.Features(
            fault=datasets.Value("string"), digest=datasets.Value("int64"), remark=datasets.Value("string")
        ),
        desc="check rows",
    )


def _inspect(*values: list[Any], inputs: Inputs, names: list[str], version: int) -> dict[str, list[Any]]:
    """What is wrong with each row of a batch (or an empty string), a digest of its content (or 0), and a remark."""

    def one(row: tuple[Any, ...]) -> tuple[str, int, str]:
        try:
            return "", *inputs.inspect(row, names)
        except BadRow as bad:
            return str(bad), 0, ""

    rows = list(zip(*values, strict=True))
    if not inputs.threads:
        found = list(map(one, rows))
    else:  # decoding releases the GIL; handing over single rows would take it again for each
        share = -(-len(rows) // (os.cpu_count() or 1))
        parts = [rows[i : i + share] for i in range(0, len(rows), share)]
        with ThreadPoolExecutor(len(parts)) as threads:
            found = [row for part in threads.map(lambda part: list(map(one, part)), parts) for row in part]
    faults, digests, remarks = map(list, zip(*found, strict=True))
    return {"fault": faults, "digest": digests, "remark": remarks}


# --- streams


class Tally:
    """Counts the read and skipped rows of one split of a stream, over all processes that read it."""

    SLOTS = 64  # one per worker, so that no two write to the same counter

    def __init__(self, split: str, data: Data):
        self.split, self.data = split, data
        self._counts = torch.zeros(self.SLOTS, 2, dtype=torch.long).share_memory_()

    def read(self) -> None:
        """Count a row."""
        self._counts[self._slot(), 0] += 1

    def skip(self, row: int, bad: BadRow | str) -> None:
        """Count a bad row, or raise.

        Raises:
            DataError: bad rows must not be skipped, or are more than `data.max_bad_rows` of those read.
        """
        where = f"split {self.split}, row {row}: {bad}"
        if isinstance(bad, BadRow) and bad.file is not None:
            where += f": {printable(bad.file)}"
        if self.data.on_bad_rows == "error":
            raise RowError(f"{where}; fix it, or set data.on_bad_rows=skip")
        self._counts[self._slot(), 1] += 1
        read, skipped = self._counts.sum(0).tolist()
        if skipped > self.data.max_bad_rows * max(read, GRACE):
            raise RowError(
                f"{where}; {skipped} of {read} rows were bad, above data.max_bad_rows={self.data.max_bad_rows:g}; raise "
                f"it, or fix the rows"
            )

    @property
    def skipped(self) -> int:
        """Number of rows left out so far, counted each time they are read."""
        return int(self._counts[:, 1].sum())

    def _slot(self) -> int:
        worker = torch.utils.data.get_worker_info()
        return worker.id % self.SLOTS if worker else 0


def without_bad(rows: IterableDataset, tally: Tally, columns: Mapping[str, str], inputs: Inputs) -> IterableDataset:
    """The stream without rows whose inputs cannot be used."""
    names = list(inputs_of(columns).values())

    def good(*values: Any) -> bool:
        *row, number = values
        try:
            inputs.digest(tuple(row), names)
        except BadRow as bad:
            tally.skip(number, bad)
            return False
        return True

    return rows.filter(good, input_columns=[*names, "row"])
