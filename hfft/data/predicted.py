"""Rows to predict: the inputs of one split of any data set, which may be unlabelled, with their ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import datasets
from datasets import Dataset

from hfft.data import columns
from hfft.data.source import load_raw
from hfft.data.spec import Columns, Data
from hfft.errors import DataError
from hfft.tasks.modality import Modality
from hfft.wording import listing, nearest, printable

FLAGS = {"text_pair": "--pair-column", "id": "--id"}  # role -> the option that names its column; for others --column


def to_stderr(note: str) -> None:
    """Tell a remark beside the table that is being printed."""
    print(printable(note), file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Reading:
    """How inputs are read: as the run read its data, unless the command line says otherwise.

    Attributes:
        options: keys of the run's data section that say how its files are read, such as `columns`.
        columns: role -> column in which the run found its inputs.
        chosen: role -> column that the command line names.
        split: the split that it names.
        pair: the second text for every text that is not in a table.
        note: told each remark.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    pair: str | None = None
    note: Callable[[str], None] = to_stderr

    def data(self, path: str) -> Data:
        """The data section for a file or data set that is read as the run's data was."""
        columns = {role: name for role, name in {**self.columns, **self.chosen}.items() if role in Columns.model_fields}
        return Data.model_validate({**self.options, "path": path, "columns": columns})


def read_rows(path: str, modality: Modality, reading: Reading, file: bool = False) -> Iterator[tuple[Any, Any]]:
    """(id, input) of every row of one split; an input that cannot be used is given as the DataError that says why.

    The id is that of the id column, otherwise `file:row` in a file and the row's number in a data set.

    Args:
        file: whether it is a file named on the command line, rather than a data set.

    Raises:
        DataError: there is no such split or column, or no row.
    """
    opened = open_rows(path, modality, reading)
    rows = modality.inputs.stored(opened.rows, opened.columns)
    where = path if file else f"split {opened.split}"
    return _inputs(rows, modality, opened.columns, opened.id, where, file)


@dataclass(frozen=True)
class Opened:
    """One split of a data set, whose labels may be missing.

    Attributes:
        rows: with the columns of inputs, ids and labels alone; inputs have their type.
        columns: role -> column of the inputs.
        split: its name.
        id, label: columns; None if there is none.
    """

    rows: Dataset
    columns: dict[str, str]
    split: str
    id: str | None
    label: str | None = None


def open_rows(
    path: str, modality: Modality, reading: Reading, label: str | None = None, optional: bool = False
) -> Opened:
    """One split of a data set: the named one, the only one, or `test`.

    Args:
        label: the column of labels to read as well.
        optional: whether it may be missing.

    Raises:
        DataError: there is no such split or column, or no row.
    """
    data, inputs = reading.data(path), modality.inputs
    raw = load_raw(data)
    for remark in raw.notes:
        reading.note(remark)
    split = _split(raw.splits, reading.split, path)
    rows = columns.typed(raw.splits[split])
    roles = _roles(rows.features, modality, reading, path)
    number = _id(rows.features, reading, path)
    if optional and (label not in rows.features or label in roles.values()):
        label = None
    if label is not None and label not in rows.features:
        raise DataError(
            f"--label: no column {label!r}{nearest(label, rows.features)} ({path} has: {listing(rows.features)})"
        )
    if not len(rows):
        raise DataError(f"{path} has no rows to predict")
    for column in roles.values() if modality.tokens else ():  # texts that all happen to be whole numbers, or missing
        if getattr(rows.features[column], "dtype", "").startswith(("int", "uint", "null")):
            rows = rows.cast_column(column, datasets.Value("string"))
    kept = dict.fromkeys([*roles.values(), *(name for name in (number, label) if name is not None)])
    try:
        rows = inputs.read(rows.select_columns(list(kept)), roles, data, split, split)
    except DataError as error:
        raise DataError(_flagged(str(error), roles)) from None
    return Opened(rows, roles, split, number, label)


def _inputs(
    rows: Dataset, modality: Modality, roles: Mapping[str, str], number: str | None, where: str, file: bool
) -> Iterator[tuple[Any, Any]]:
    for i, row in enumerate(rows):
        name = _plain(row[number]) if number else f"{where}:{i}" if file else i
        place = f"{where}, row {i}"
        try:
            yield name, modality.inputs.of_row(modality.inputs.decode_row(row, roles, where, i), roles)
        except DataError as error:
            said = str(error).removeprefix(f"split {where}, row {i}: ").removesuffix("; fix or drop it")
            yield name, DataError(f"{place}: {said}")


def _plain(value: Any) -> Any:
    """An id as JSON can express it."""
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _split(there: Iterable[str], named: str | None, path: str) -> str:
    """The split to predict: the named one, the only one, or `test`."""
    names = list(there)
    if named is not None and named not in names:
        raise DataError(f"--split: no split {named!r}{nearest(named, names)} ({path} has: {listing(names)})")
    if named is None and len(names) > 1 and "test" not in names:
        raise DataError(f"--split: which split is it? {path} has: {listing(names)}")
    return named or (names[0] if len(names) == 1 else "test")


def _roles(features: Mapping[str, Any], modality: Modality, reading: Reading, path: str) -> dict[str, str]:
    """Role -> column: from the command line, as in the run, by the usual name, or the only column of the right type."""
    found: dict[str, str] = {}
    has = f"({path} has: {listing(features)})"
    for role, usual in modality.columns.items():
        flag, chosen, trained = FLAGS.get(role, "--column"), reading.chosen.get(role), reading.columns.get(role)
        if chosen is not None and chosen not in features:
            raise DataError(f"{flag}: no column {chosen!r}{nearest(chosen, features)} {has}")
        if chosen is None and trained is not None and trained not in features:
            raise DataError(f"{flag}: no column {trained!r}, which the model was trained on {has}; choose one")
        column = chosen or trained or _usual(role, usual, features, modality)
        if column is None and usual is not None:
            raise DataError(f"{flag}: which column is it? {path} has: {listing(features)}")
        if column is not None:
            found[role] = column
    for role, column in found.items():
        twin = next(other for other, name in found.items() if name == column)
        if twin != role:
            raise DataError(
                f"{FLAGS.get(role, '--column')}: column {column!r} is already used for {twin}; choose another"
            )
    return found


def _usual(role: str, usual: str | None, features: Mapping[str, Any], modality: Modality) -> str | None:
    """The column of the usual name and type, else the only one of the type, else the one of the name; None if none is."""
    fits = [name for name, feature in features.items() if modality.inputs.plays(role, feature)]
    if usual is None or usual in fits:
        return usual
    return fits[0] if len(fits) == 1 else usual if usual in features else None


def _id(features: Mapping[str, Any], reading: Reading, path: str) -> str | None:
    """The column of ids: the named one, or the run's if it is there."""
    chosen, trained = reading.chosen.get("id"), reading.columns.get("id")
    column = chosen or trained
    if column is None:
        return None
    if chosen is not None and chosen not in features:
        raise DataError(f"--id: no column {chosen!r}{nearest(chosen, features)} ({path} has: {listing(features)})")
    if column not in features:
        reading.note(f"{path} has no column {column!r}, the run's ids: its rows are numbered from 0 (--id COLUMN)")
        return None
    if not isinstance(features[column], datasets.Value | datasets.ClassLabel):
        raise DataError(f"--id: column {column!r} has type {features[column]}; choose one of texts or numbers")
    return column


def _flagged(message: str, roles: Mapping[str, str]) -> str:
    """A message about a recipe's key, with the option of the command line in its place."""
    for role in roles:
        message = message.replace(f"data.columns.{role}:", f"{FLAGS.get(role, '--column')}:")
    return message
