"""Write features to a `.parquet` or `.npz` file, or a folder of `datasets`: whole under its final name, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hfft.errors import BadInput, RunError
from hfft.features.export import Export
from hfft.wording import first_line


def write(export: Export, output: str) -> None:
    """Write all rows to `output`, whose ending says how: `.parquet`, `.npz`, or none for a folder of `datasets`.

    Raises:
        BadInput: it cannot be written there.
        RunError: the disk is full, or fails; nothing is left under the final name.
    """
    path = checked(output)
    with _temporary(path) as temporary:
        try:
            {".parquet": _parquet, ".npz": _npz, "": _folder}[path.suffix](export, temporary)
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(temporary, path)
        except (OSError, pa.ArrowException) as error:
            said = getattr(error, "strerror", None) or first_line(error)
            raise RunError(
                f"--output {output}: cannot be written ({said}); nothing was written there; what was computed is stored, "
                f"and the same command continues"
            ) from None


def checked(output: str) -> Path:
    """The path to write.

    Raises:
        BadInput: its ending is not known, it is not a folder of `datasets`, or it cannot be written.
    """
    path = Path(os.path.realpath(output))
    if path.suffix not in (".parquet", ".npz", ""):
        raise BadInput(
            f"--output {output}: expected a name that ends in .parquet or .npz, or a folder's without ending"
        )
    if not path.parent.is_dir():
        raise BadInput(f"--output {output}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise BadInput(f"--output {output}: {path.parent} cannot be written; use another folder")
    if path.suffix and path.is_dir():
        raise BadInput(f"--output {output}: is a folder; give a file")
    if not path.suffix and path.exists() and not (path / "dataset_info.json").is_file():
        raise BadInput(f"--output {output}: exists and is no folder of datasets; give a new name")
    return path


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside the final one, under which nothing is left afterwards."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
    finally:
        for left in path.parent.glob(f"{beside.name}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _parquet(export: Export, path: Path) -> None:
    writer: pq.ParquetWriter | None = None
    try:
        for part in export.slices():
            table = export.table(part)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _folder(export: Export, path: Path) -> None:
    stream = path.with_name(f"{path.name}.arrow")
    writer: Any = None
    with open(stream, "wb") as file:
        for part in export.slices():
            table = export.table(part)
            if writer is None:
                writer = pa.ipc.new_stream(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        Dataset.from_file(str(stream)).save_to_disk(path)
    finally:
        if shown:
            datasets.enable_progress_bars()


def _npz(export: Export, path: Path) -> None:
    """Arrays `ids`, `features`, and if there are labels `labels` and `names`; read by `numpy.load` without pickle."""
    raw = path.with_name(f"{path.name}.raw")
    beside: dict[str, list[np.ndarray]] = {"ids": [], "labels": []}
    width = 0
    with open(raw, "wb") as file:
        for part in export.slices():
            width = part["features"].shape[1]
            np.ascontiguousarray(part["features"], "<f4").tofile(file)
            for name, key in (("ids", "id"), ("labels", "label")):
                if key in part:
                    beside[name].append(_plain(part[key]))
    arrays = {name: np.concatenate(parts) for name, parts in beside.items() if parts}
    if export.names():
        arrays["names"] = np.array(export.names())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        with archive.open("features.npy", "w", force_zip64=True) as entry, open(raw, "rb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (export.rows, width)}
            np.lib.format.write_array_header_1_0(entry, header)
            shutil.copyfileobj(file, entry, 1 << 20)


def _plain(values: pa.Array) -> np.ndarray:
    """Numbers as numbers, lists of numbers as rows, everything else as texts."""
    listed = values.to_pylist()
    array = np.array(["" if value is None else value for value in listed])
    return array.astype(str) if array.dtype == object else array
