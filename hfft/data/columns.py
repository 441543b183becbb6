"""Which column has which role, and whether its content fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from datasets import Features

from hfft.data import label_columns
from hfft.data.modality.base import Rows
from hfft.data.roles import find_roles
from hfft.data.spec import SET, Data
from hfft.errors import DataError
from hfft.hub.errors import reading
from hfft.tasks.modality import AUDIO
from hfft.tasks.table import Task
from hfft.wording import listing, nearest

OURS = ("labels", "row")  # columns that hfft adds


class RowError(DataError):
    """A row that cannot be used. When re-raised from a DataLoader worker, it drops the worker's traceback."""

    def __init__(self, text: str):
        super().__init__(text.rpartition(f"{__name__}.RowError: ")[2].strip())


def typed(rows: Rows) -> Rows:
    """The rows with known features; for a stream without them they are inferred from its first rows."""
    if rows.features:
        return rows
    with reading("the stream"):
        return rows._resolve_features()


def find(rows: Rows, data: Data, task: Task) -> dict[str, str]:
    """Role -> column: from the recipe, by the usual name, or the only column of the right type.

    Raises:
        DataError: no column or several columns fit, or one would have two roles.
    """
    features = rows.features or {}

    def fitting(role: str) -> list[str]:
        ours = (SET,) if data.mix or data.map is not None else ()  # names the set of a row, which is no input
        return [name for name, feature in features.items() if fits(role, feature, data, task) and name not in ours]

    return find_roles(list(features), fitting, data, task)


def label_parts(rows: Rows, found: dict[str, str], data: Data, task: Task) -> tuple[dict[str, str], tuple[str, ...]]:
    """`found` with one column for the label, and the columns that `read` joins into it; none if it is a column of the data.

    Raises:
        DataError: there is no such column, or it has another role.
    """
    if not task.labelled or not data.columns.several_labels:
        return found, ()
    others = {**found, **({"id": data.columns.id} if data.columns.id else {})}
    parts = label_columns.label_columns(rows.features or {}, data, others)
    return {**found, "label": listing(parts, 4) if len(parts) > 1 else f"{parts[0]} (label)"}, parts


def plays(role: str, feature: Any, task: Task) -> bool:
    """Whether a column of this type can have this role."""
    if role == "label":
        return isinstance(getattr(feature, "feature", feature), datasets.ClassLabel)
    return task.modality.inputs.plays(role, feature)


def fits(role: str, feature: Any, data: Data, task: Task) -> bool:
    """Whether a column of this type can have this role, as it is or as sounds that `data.render` draws."""
    drawn = role == "image" and data.render is not None and data.render.kind == "spectrogram"
    return plays(role, feature, task) or (drawn and AUDIO.inputs.plays("audio", feature))


def holds_text(feature: Any) -> bool:
    """Whether a column of this type contains text."""
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def inputs_of(columns: Mapping[str, str]) -> dict[str, str]:
    """Role -> column, for the columns that are model inputs."""
    return {role: column for role, column in columns.items() if role not in ("label", "id")}


def read(
    rows: Rows,
    columns: dict[str, str],
    data: Data,
    task: Task,
    split: str,
    source: str,
    parts: tuple[str, ...] = (),
    beside: tuple[str, ...] = (),
) -> Rows:
    """Select these columns and convert them to their type (such as paths to images); in a stream they are not decoded yet.

    A held-out split may lack its labels.

    Args:
        source: the name of this split in the data.
        parts: columns of the data that are joined into the label's.
        beside: columns that augmentation reads.

    Raises:
        DataError: a column does not exist, or has another type.
    """
    features = rows.features or Features()
    for column in beside:
        if column not in features:
            raise DataError(
                f"data.augment: back_translation: no column {column!r} in split {split}{nearest(column, features)} "
                f"(it has: {listing(features)})"
            )
        if not holds_text(features[column]) or column in OURS:
            what = (
                "has a name that hfft uses; rename it" if column in OURS else f"has type {features[column]}, not text"
            )
            raise DataError(f"data.augment: back_translation: column {column!r} {what}")
    for role, column in columns.items():
        if role == "label" and parts:
            continue
        if column not in features and not (role == "label" and split != "train"):
            raise DataError(
                f"data.columns.{role}: no column {column!r} in split {split}{nearest(column, features)} "
                f"(it has: {listing(features)})"
            )
    there = bool(parts) and label_columns.present(features, parts, split)
    wanted = dict.fromkeys((*columns.values(), *parts, *beside))
    rows = rows.select_columns([column for column in wanted if column in features])
    rows = task.modality.inputs.read(rows, inputs_of(columns), data, split, source)
    return label_columns.join(rows, parts, columns["label"]) if there else rows


def apart(parts: dict[str, Rows], columns: dict[str, str]) -> tuple[dict[str, Rows], dict[str, str]]:
    """The same, with input columns renamed if their name is one that hfft adds."""
    for role, column in columns.items():
        if role != "label" and column in OURS:
            parts = {name: rows.rename_column(column, f"{column}_") for name, rows in parts.items()}
            columns = {**columns, role: f"{column}_"}
    return parts, columns


def folder_of(data: Data, source: str) -> Path:
    """The folder of the file from which a split of local data is read."""
    path, files = Path(data.path).expanduser(), data.data_files
    if isinstance(files, dict):
        files = files.get(source)
    if isinstance(files, list):
        files = files[0]
    root = (path if path.is_dir() else Path()) / (data.data_dir or "")
    if files is not None:
        return (root / files).parent
    return path.parent if path.suffix and not path.is_dir() else root
