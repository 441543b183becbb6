"""Images and labels as NumPy arrays in one `.npz` file, as MedMNIST writes them (Yang et al., arXiv:2110.14795)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from datasets import (
    Dataset,
    DatasetDict,
    Features,
    Image,
    IterableDataset,
    IterableDatasetDict,
    List,
    NamedSplit,
    SplitDict,
    SplitInfo,
    Value,
)
from numpy.lib import format as npy

from hfft.data.builtin.common import png
from hfft.data.source.raw import Raw
from hfft.data.spec import Data
from hfft.data.tables.files import is_arrays
from hfft.errors import DataError
from hfft.wording import first_line, listing

SPLITS = {"train": "train", "val": "validation", "test": "test"}  # prefix of the arrays -> split
CHANNELS = (1, 3, 4)
BLOCK = 1 << 24  # bytes of images that are read at once
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True)
class Header:
    """The shape and type of an array in a file, read without the array.

    Attributes:
        in_rows: whether rows follow one another in the file, which lets them be read one by one.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    in_rows: bool


def load(data: Data) -> Raw | None:
    """Every split of a file with `train_images (N, H, W)` or `(N, H, W, channels)` in uint8 and `train_labels`, and perhaps
    `val_…` and `test_…`; None if the data is no such file.

    Labels `(N,)` or `(N, 1)` are classes; `(N, K)` are zeros and ones, one for each of K classes.

    Raises:
        DataError: an array is missing, pickled, of another type or length, or the file is no archive.
    """
    path = Path(data.path).expanduser()
    if not is_arrays(path):
        return None
    headers = _headers(path)
    if "train_images" not in headers:
        raise DataError(f"{path}: has no array train_images (it has: {listing(headers or ['nothing'])}); add it")
    made: dict[str, Any] = {}
    for prefix, split in SPLITS.items():
        if f"{prefix}_images" in headers or f"{prefix}_labels" in headers:
            made[split] = _split(path, prefix, headers, data.streaming)
    return Raw((IterableDatasetDict if data.streaming else DatasetDict)(made))


def _split(path: Path, prefix: str, headers: dict[str, Header], streaming: bool) -> Dataset | IterableDataset:
    images, labels = f"{prefix}_images", f"{prefix}_labels"
    for name, other in ((images, labels), (labels, images)):
        if name not in headers:
            raise DataError(f"{path}: has {other}, but no array {name}; add it, or leave {other} out")
    _check(path, images, labels, headers)
    several = len(headers[labels].shape) == 2 and headers[labels].shape[1] > 1
    label = List(Value("int64")) if several else Value("int64")
    state = path.stat()
    given: dict[str, Any] = {"path": str(path.resolve()), "prefix": prefix}
    features = Features(image=Image(), label=label)
    if not streaming:
        given["written"] = (
            state.st_size,
            state.st_mtime_ns,
        )  # the cache of `datasets` knows the rows by these arguments
        named = NamedSplit(SPLITS[prefix])
        return Dataset.from_generator(_rows, features=features, gen_kwargs=given, split=named)
    rows = IterableDataset.from_generator(_rows, features=features, gen_kwargs=given)
    rows.info.splits = SplitDict({SPLITS[prefix]: SplitInfo(SPLITS[prefix], num_examples=headers[images].shape[0])})
    return rows


def _check(path: Path, images: str, labels: str, headers: dict[str, Header]) -> None:
    """Raise DataError unless both arrays have the types and shapes of `load`, and as many rows."""
    (shape, dtype), named = (headers[images].shape, headers[images].dtype), headers[labels]
    if dtype != np.uint8:
        raise DataError(f"{path}: {images} has type {dtype}, not uint8; save levels from 0 to 255")
    if len(shape) == 4 and shape[3] not in CHANNELS:
        raise DataError(
            f"{path}: {images} has shape {shape}, and volumes are not read; save slices as (N, H, W), or (N, H, W, channels)"
        )
    if len(shape) not in (3, 4):
        raise DataError(f"{path}: {images} has shape {shape}; expected (N, H, W) or (N, H, W, channels)")
    if named.dtype.kind not in "iub" or len(named.shape) not in (1, 2):
        raise DataError(
            f"{path}: {labels} has type {named.dtype} and shape {named.shape}; expected whole numbers, (N,), (N, 1) or (N, K)"
        )
    if shape[0] != named.shape[0]:
        raise DataError(
            f"{path}: {images} has {shape[0]} rows, but {labels} has {named.shape[0]}; save as many of both"
        )


def _headers(path: Path) -> dict[str, Header]:
    """Name -> header of every array in a file.

    Raises:
        DataError: it is no archive of arrays, or an array is pickled.
    """
    found: dict[str, Header] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as file:
                    found[member.removesuffix(".npy")] = _header(file)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path}: is not a .npz file of arrays ({first_line(error)}); save it with numpy.savez"
        ) from error
    for name, header in found.items():
        if header.dtype.hasobject:  # unpickling runs code
            raise DataError(f"{path}: {name} holds pickled objects, which are not read; save an array of numbers")
    return found


def _header(file: IO[bytes]) -> Header:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"format {version}")
    shape, fortran, dtype = _HEADERS[version](file)
    return Header(shape, dtype, not fortran or len(shape) < 2)


def _rows(path: str, prefix: str, written: Any = None) -> Iterator[dict[str, Any]]:
    """The rows of a split: PNG bytes and label; only a block of images is in memory, however many there are."""
    with np.load(path, allow_pickle=False) as arrays:
        labels = arrays[f"{prefix}_labels"]
    labels = labels.reshape(len(labels), -1).astype(np.int64).tolist()
    for i, image in enumerate(_images(path, f"{prefix}_images")):
        label = labels[i] if len(labels[i]) > 1 else labels[i][0]
        yield {"image": {"bytes": png(image), "path": None}, "label": label}


def _images(path: str, name: str) -> Iterator[np.ndarray]:
    """The images of an array, `(H, W)` or `(H, W, channels)`."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        header = _header(file)
        if not header.in_rows:
            with np.load(path, allow_pickle=False) as arrays:
                yield from map(_plain, arrays[name])
            return
        shape = header.shape[1:]
        size = max(int(np.prod(shape)), 1)
        for start in range(0, header.shape[0], step := max(BLOCK // size, 1)):
            count = min(step, header.shape[0] - start)
            block = np.frombuffer(file.read(count * size), np.uint8)
            yield from map(_plain, block.reshape(count, *shape))


def _plain(image: np.ndarray) -> np.ndarray:
    """An image without an axis for its only channel."""
    return np.ascontiguousarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
