"""Rows that cannot be used, and rows that stand in two splits: found before the first step, told with split and row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch
from datasets import Dataset, IterableDataset

from hfft.data.columns import RowError, inputs_of
from hfft.data.spec import Data
from hfft.data.splits import column as read_column
from hfft.errors import DataError
from hfft.wording import listing, nearest

if TYPE_CHECKING:
    from hfft.data.modality.base import Inputs

SHOWN = 10  # rows that a message names
VERSION = 1  # of `_inspect`: the cache knows its name, not its text
GRACE = 1000  # rows of a stream that are counted as read before its share of bad ones is judged


class BadRow(Exception):
    """What is wrong with one row.

    Args:
        text: with `{}` where the value goes; rows of one text are told together.
        remedy: what to do; by default to mend or drop the row.
    """

    def __init__(self, text: str, value: Any = None, remedy: str = ""):
        super().__init__(text.replace("{}", f"{value!r:.80}"))
        self.kind, self.remedy = text, remedy


class Faults:
    """Bad rows by split and kind; `data.on_bad_rows` says what becomes of them."""

    def __init__(self, data: Data):
        self.data, self.totals = data, dict[str, int]()
        self._found: dict[tuple[str, str], list[tuple[int, BadRow]]] = {}

    def add(self, split: str, row: int, bad: BadRow) -> None:
        """Note one."""
        self._found.setdefault((split, bad.kind), []).append((row, bad))

    def rows(self, split: str) -> set[int]:
        """The numbers of a split's bad rows."""
        return {row for (name, _), found in self._found.items() if name == split for row, _ in found}

    def refuse(self) -> None:
        """Raise where there are any.

        Raises:
            DataError: a line for each split and kind: the first rows, their count, what is wrong, and what to do.
        """
        if self._found:
            raise DataError("\n".join(self._line(*key, found) for key, found in self._found.items()))

    def settle(self) -> dict[str, int]:
        """Split -> number of rows to leave out, all of them none unless the recipe says so.

        Raises:
            DataError: bad rows that are not to be skipped, or more than `data.max_bad_rows` of a split.
        """
        if self.data.on_bad_rows == "error":
            self.refuse()
        skipped = {split: len(self.rows(split)) for split, _ in self._found}
        for split, count in skipped.items():
            if count > self.data.max_bad_rows * self.totals[split]:
                lines = [self._line(*key, found) for key, found in self._found.items() if key[0] == split]
                more = f"split {split}: {count} of {self.totals[split]} rows are bad, above data.max_bad_rows="
                raise DataError("\n".join([f"{more}{self.data.max_bad_rows:g}; raise it, or mend them", *lines]))
        return skipped

    def notes(self, skipped: dict[str, int]) -> list[str]:
        """A line for each split that has rows left out."""
        return [f"split {name}: {n} of {self.totals[name]} rows are left out as bad" for name, n in skipped.items()]

    def _line(self, split: str, kind: str, found: list[tuple[int, BadRow]]) -> str:
        first, many = found[0][1], len(found) > 1
        numbers = listing(sorted(row for row, _ in found), SHOWN)
        where = f"rows {numbers} ({len(found)} of {self.totals[split]})" if many else f"row {numbers}"
        remedy = first.remedy or f"mend or drop {'them' if many else 'it'} (data.on_bad_rows=skip does)"
        return f"split {split}, {where}: {first}; {remedy}"

    def repeated(self, split: str, rows: Dataset, column: str) -> None:
        """Note rows that have no id, or one that an earlier row of the split has.

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
                self.add(split, row, BadRow(f"id {{}} of column {column!r} stands in an earlier row too", value))

    def without(self, rows: Dataset, split: str) -> Dataset:
        """The rows that are left of a split, whose numbers stand in their column `row`."""
        bad = self.rows(split)
        good = np.flatnonzero(~np.isin(read_column(rows, "row").to_numpy(), list(bad))) if bad else ()
        return rows.select(good) if bad and len(good) < len(rows) else rows


# --- what the rows hold


def check(
    splits: dict[str, Dataset], source: Mapping[str, str], columns: Mapping[str, str], inputs: Inputs, faults: Faults
) -> dict[str, list[int]]:
    """Look at the inputs of every row, once per machine: the verdict is kept in the cache of `datasets`.

    Images are decoded (JPEG at an eighth of its size; those with an address on the web are not fetched for it), texts
    must not be empty. Bad rows are added to `faults`.

    Args:
        source: split -> the split whose rows its column `row` counts, where that is another.

    Returns:
        Held-out split -> its rows that stand in train too, by the bytes of the image or the words of the text.
    """
    roles, digests = inputs_of(columns), {}
    for name, rows in splits.items():
        found = _inspected(rows.select_columns(list(roles.values())), roles, inputs)
        numbers = read_column(rows, "row").to_numpy()
        for i in np.flatnonzero(read_column(found, "fault").to_numpy() != ""):
            faults.add(source.get(name, name), int(numbers[i]), BadRow(found[int(i)]["fault"]))
        digests[name] = numbers, read_column(found, "digest").to_numpy()
    train = digests.pop("train")[1]
    twins = {name: numbers[np.isin(values, train[train != 0])].tolist() for name, (numbers, values) in digests.items()}
    return {name: rows for name, rows in twins.items() if rows}


def twin_notes(twins: dict[str, list[int]], source: Mapping[str, str]) -> list[str]:
    """A line for each held-out split that has rows of train."""
    return [
        f"split {name}: {len(rows)} of its rows stand in train too (rows {listing(rows, SHOWN)}"
        f"{f' of {source[name]}' if name in source else ''}): its figures flatter"
        for name, rows in twins.items()
    ]


def _inspected(rows: Dataset, columns: Mapping[str, str], inputs: Inputs) -> Dataset:
    names = list(columns.values())
    return inputs.stored(rows, columns).map(
        _inspect,
        batched=True,
        batch_size=256,
        input_columns=names,
        remove_columns=names,
        fn_kwargs={"inputs": inputs, "names": names, "version": VERSION},
        features=datasets.Features(fault=datasets.Value("string"), digest=datasets.Value("int64")),
        desc="check rows",
    )


def _inspect(*values: list[Any], inputs: Inputs, names: list[str], version: int) -> dict[str, list[Any]]:
    """A batch of rows as what is wrong with each (or an empty string), and a digest of its content (or 0)."""

    def one(row: tuple[Any, ...]) -> tuple[str, int]:
        try:
            return "", inputs.digest(row, names)
        except BadRow as bad:
            return str(bad), 0

    rows = list(zip(*values, strict=True))
    if not inputs.threads:
        found = list(map(one, rows))
    else:  # decoding lets go of the interpreter; handing over rows one by one would take it back as often
        share = -(-len(rows) // (cpu_count() or 1))
        parts = [rows[i : i + share] for i in range(0, len(rows), share)]
        with ThreadPoolExecutor(len(parts)) as threads:
            found = [row for part in threads.map(lambda part: list(map(one, part)), parts) for row in part]
    return {"fault": [fault for fault, _ in found], "digest": [digest for _, digest in found]}


def digest_of(content: bytes) -> int:
    """A number for bytes, never 0."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), signed=True) or 1


# --- streams


class Tally:
    """Rows of one split of a stream that were read and that were skipped, counted in every process that reads."""

    SLOTS = 64  # one for each worker, so that no two write to the same number

    def __init__(self, split: str, data: Data):
        self.split, self.data = split, data
        self._counts = torch.zeros(self.SLOTS, 2, dtype=torch.long).share_memory_()

    def read(self) -> None:
        """Count a row."""
        self._counts[self._slot(), 0] += 1

    def skip(self, row: int, bad: BadRow | str) -> None:
        """Count a bad row, or refuse it.

        Raises:
            DataError: rows are not to be skipped, or these are more than `data.max_bad_rows` of what was read.
        """
        where = f"split {self.split}, row {row}: {bad}"
        if self.data.on_bad_rows == "error":
            raise RowError(f"{where}; mend or drop it (data.on_bad_rows=skip does)")
        self._counts[self._slot(), 1] += 1
        read, skipped = self._counts.sum(0).tolist()
        if skipped > self.data.max_bad_rows * max(read, GRACE):
            raise RowError(
                f"{where}; {skipped} of {read} rows were bad, above data.max_bad_rows={self.data.max_bad_rows:g}; raise "
                f"it, or mend them"
            )

    @property
    def skipped(self) -> int:
        """How many rows were left out so far, each as often as it was read."""
        return int(self._counts[:, 1].sum())

    def _slot(self) -> int:
        worker = torch.utils.data.get_worker_info()
        return worker.id % self.SLOTS if worker else 0


def without_bad(rows: IterableDataset, tally: Tally, columns: Mapping[str, str], inputs: Inputs) -> IterableDataset:
    """The stream less its rows whose inputs cannot be used."""
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
