"""Which column plays which part, whether it holds what it should, and images decoded from what is stored."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, cast

import datasets
from datasets import Dataset, Features, IterableDataset
from PIL import Image

from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.recipe import Recipe
from hfft.wording import listing, nearest

Rows: TypeAlias = Dataset | IterableDataset
OURS = ("labels", "row")  # columns that hfft adds


class RowError(DataError):
    """A row that cannot be used. Raised anew out of a DataLoader worker, it drops the worker's traceback."""

    def __init__(self, text: str):
        super().__init__(text.strip().splitlines()[-1].removeprefix(f"{__name__}.RowError: "))


def typed(rows: Rows) -> Rows:
    """The rows with their features known; a stream that does not state them is asked for its first ones."""
    return rows if rows.features else rows._resolve_features()


def find(rows: Rows, recipe: Recipe) -> dict[str, str]:
    """Role -> column: as the recipe says, by the usual name, or the only column of the right type.

    Raises:
        DataError: none or several would do, or one is to play two parts.
    """
    features = rows.features or {}
    found: dict[str, str] = {}
    for role, usual in recipe.the_task.columns.items():
        named = getattr(recipe.data.columns, role)
        if named is not None or usual in features:
            found[role] = named or cast(str, usual)
            continue
        if usual is None:
            continue
        fits = [name for name, feature in features.items() if plays(role, feature)]
        if len(fits) != 1:
            raise DataError(
                f"data.columns.{role}: which column is it? {recipe.data.path} has: {listing(features)}; "
                f"name one, as in data.columns.{role}={fits[0] if fits else 'NAME'}"
            )
        found[role] = fits[0]
    for role, column in found.items():
        twin = next(other for other, c in found.items() if c == column)
        if twin != role:
            raise DataError(f"data.columns.{role}: column {column!r} is already the {twin}; name another")
    return found


def plays(role: str, feature: Any) -> bool:
    """Whether a column of this type can have this role."""
    if role == "image":
        return isinstance(feature, datasets.Image)
    if role == "label":
        return isinstance(getattr(feature, "feature", feature), datasets.ClassLabel)
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def read(rows: Rows, columns: dict[str, str], data: Data, split: str, source: str) -> Rows:
    """These columns alone, images as such whatever they are stored as; in a stream they stay undecoded.

    A held-out split may lack its labels.

    Args:
        source: the name that the data has for this split.

    Raises:
        DataError: a column is not there, or holds something else.
    """
    features = rows.features or Features()
    for role, column in columns.items():
        if column not in features and not (role == "label" and split != "train"):
            raise DataError(
                f"data.columns.{role}: no column {column!r} in split {split}{nearest(column, features)} "
                f"(it has: {listing(features)})"
            )
        if role in ("text", "text_pair") and not plays("text", features[column]):
            raise DataError(f"data.columns.{role}: column {column!r} holds {features[column]}, no text; name another")
    rows = rows.select_columns([column for column in columns.values() if column in features])
    return _images(rows, columns["image"], data, source) if "image" in columns else rows


def apart(parts: dict[str, Rows], columns: dict[str, str]) -> tuple[dict[str, Rows], dict[str, str]]:
    """The same with no input column called like one that hfft adds."""
    for role, column in columns.items():
        if role != "label" and column in OURS:
            parts = {name: rows.rename_column(column, f"{column}_") for name, rows in parts.items()}
            columns = {**columns, role: f"{column}_"}
    return parts, columns


def _images(rows: Rows, column: str, data: Data, source: str) -> Rows:
    """Let a column of paths, or of files as bytes, be images; relative paths start at the folder of their file."""
    feature, stream = rows.features[column], isinstance(rows, IterableDataset)
    if plays("text", feature):
        folder = _folder(data, source)

        def one(path: str | None) -> dict[str, Any]:
            full = path if path is None or "://" in path else str(folder / path)
            return {column: {"bytes": None, "path": full} if stream else full}

        first = next((row[column] for row in islice(rows.select_columns([column]), 100) if row[column]), None)
        if first and "://" not in first and not (folder / first).is_file():
            raise DataError(
                f"data.columns.image: column {column!r} holds text ({first[:60]!r}) and there is no file "
                f"{str(folder / first)[:200]}; name a column of images, or mend the paths"
            )
        features = Features({**rows.features, column: datasets.Image(decode=False) if stream else feature})
        rows = rows.map(one, input_columns=[column], features=features)
    elif not (
        plays("image", feature)
        or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})
        or (isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary"))
    ):
        raise DataError(f"data.columns.image: column {column!r} holds {feature}, no images; name another")
    # a stream waits in a buffer before it is decoded: files are much smaller than their pixels
    return rows.cast_column(column, datasets.Image(decode=not stream))


def _folder(data: Data, source: str) -> Path:
    """The folder of the file that a split of local data is read from."""
    path, files = Path(data.path).expanduser(), data.data_files
    if isinstance(files, dict):
        files = files.get(source)
    if isinstance(files, list):
        files = files[0]
    root = (path if path.is_dir() else Path()) / (data.data_dir or "")
    if files is not None:
        return (root / files).parent
    return path.parent if path.suffix and not path.is_dir() else root


def decoded(stored: Any, column: str, split: str, row: int) -> Image.Image:
    """The image, upright as its EXIF says.

    Raises:
        DataError: there is none, or it cannot be decoded.
    """
    if stored is None or (isinstance(stored, dict) and stored["bytes"] is None and stored["path"] is None):
        raise RowError(f"split {split}, row {row}: no image in column {column!r}; mend or drop it")
    try:
        return datasets.Image().decode_example(stored)
    except Exception as error:  # a decoder met with arbitrary bytes raises anything
        raise RowError(
            f"split {split}, row {row}: the image cannot be decoded ({type(error).__name__}); mend or drop it"
        ) from None
