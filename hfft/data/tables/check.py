"""Open the first lines of a recipe's local files: a path, an encoding, a separator or a column that is wrong is told at once."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from hfft.data.augment.grammar import columns_read
from hfft.data.roles import find_roles
from hfft.data.spec import NONE, Data
from hfft.data.tables.dialect import head_text, header_fault, read_head
from hfft.data.tables.files import FORMATS, Files, find_files, is_table_of_text, missing_path
from hfft.errors import DataError
from hfft.tasks.table import Task
from hfft.wording import listing, nearest

OPENED = 20  # files of a split
_HELD_OUT = ("validation", "valid", "val", "dev", "test")


def check_files(data: Data, task: Task) -> None:
    """Check that local files exist, how their first lines are written, and that the columns of the task are there.

    Nothing is downloaded or loaded; other sources are not looked at. The messages are those of a run.

    Raises:
        DataError: a run could not read the data.
    """
    if data.path not in FORMATS and (wrong := missing_path(data)) is not None:
        raise DataError(wrong)
    for wrong in filter(None, map(missing_path, data.sets.values())):
        raise DataError(wrong)
    files = find_files(data)
    if files is None:
        return
    held = {name for name in (data.validation, data.test) if isinstance(name, str)} or {*_HELD_OUT}
    roles: dict[str, str] = {}
    for split in sorted(files.splits, key=lambda split: split != data.train):  # train first: it settles the roles
        if split != data.train and split not in held:
            continue
        for file in files.splits[split][:OPENED]:
            columns = _columns(file, files, data)
            if columns is None:
                continue
            if split == data.train:
                roles = _find_roles(columns, data, task)
            labelled = split == data.train and data.labels != NONE
            _check_there(columns, roles if labelled else _without_label(roles), split)
            if split == data.train:
                _check_beside(columns, data, split)


def _find_roles(columns: dict[str, bool], data: Data, task: Task) -> dict[str, str]:
    """Role -> column, as the run finds it.

    Args:
        columns: name -> whether it holds text.
    """

    def fitting(role: str) -> list[str]:
        return [name for name, text in columns.items() if text] if role in ("text", "text_pair") else []

    return find_roles(list(columns), fitting, data, task)


def _without_label(roles: dict[str, str]) -> dict[str, str]:
    """The roles that a held-out split must have."""
    return {role: column for role, column in roles.items() if role != "label"}


def _check_there(columns: Iterable[str], roles: dict[str, str], split: str) -> None:
    """Raise if the column of a role is not there."""
    columns = list(columns)
    for role, column in roles.items():
        if column not in columns:
            raise DataError(
                f"data.columns.{role}: no column {column!r} in split {split}{nearest(column, columns)} "
                f"(it has: {listing(columns)})"
            )


def _check_beside(columns: Iterable[str], data: Data, split: str) -> None:
    """Raise if a column that augmentation reads is not there."""
    for column in columns_read(data.augment):
        if column not in columns:
            raise DataError(
                f"data.augment: back_translation: no column {column!r} in split {split}{nearest(column, columns)} "
                f"(it has: {listing(columns)})"
            )


def _columns(file: Path, files: Files, data: Data) -> dict[str, bool] | None:
    """Column -> whether it holds text, as far as the first lines tell; None for files that are not opened here."""
    kind = files.kind
    if kind == "text" and not is_table_of_text(file, data):
        head_text(file, data.encoding)
        return {"text": True}
    if kind in ("csv", "text"):
        head = read_head(file, data.sep, data.encoding, data.quoting)
        header_fault(head, [name for name in data.columns.model_dump().values() if isinstance(name, str)])
        cells = list(zip(*(row for row in head.rows if len(row) == len(head.columns)), strict=True))
        number = re.compile(r"(-?\d+(\.\d+)?)?")
        texts = [not head.whole or not all(map(number.fullmatch, column)) for column in cells] or [True] * len(
            head.columns
        )
        return dict(zip(head.columns, texts, strict=True))
    if kind == "json" and data.field is None:
        return _keys(head_text(file, data.encoding)[0])
    return None


def _keys(text: str) -> dict[str, bool] | None:
    """The keys of the first lines of JSON, if each line is a row."""
    found: dict[str, bool] = {}
    for line in text.splitlines()[:-1][:100] or text.splitlines():
        row = None
        with contextlib.suppress(ValueError):
            row = json.loads(line)
        if not isinstance(row, dict):
            return None
        for key, value in row.items():
            found[key] = found.get(key, False) or isinstance(value, str)
    return found or None
