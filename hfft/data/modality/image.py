"""Images: decoded and augmented when read, so that nothing is written to disk, and resized on the device."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any

import datasets
import numpy as np
import torch
from datasets import Dataset, Features, IterableDataset
from PIL import Image

from hfft.data.audit import BadRow, digest_of
from hfft.data.augment import grammar
from hfft.data.batch_transform import LARGE, Pixels, learn, pack
from hfft.data.columns import RowError, folder_of, holds_text
from hfft.data.identity import settings_of, table_digest
from hfft.data.image_files import dated, file_digest, file_of, is_remote
from hfft.data.image_processor import VERSION, convert, depth_note, in_mode, levels, processed
from hfft.data.modality.base import Inputs, Rows
from hfft.data.open_images import open_images
from hfft.data.render import drawn_rows
from hfft.data.spec import Data
from hfft.data.stream import Cell
from hfft.errors import DataError
from hfft.tasks.problem import PROBLEMS
from hfft.wording import printable


class ImageInputs(Inputs):
    """One image per row, in the column with role `image`."""

    threads = True

    def plays(self, role: str, feature: Any) -> bool:
        """Whether a column contains images."""
        return isinstance(feature, datasets.Image)

    def read(self, rows: Rows, columns: Mapping[str, str], data: Data, split: str, source: str) -> Rows:
        """Convert a column of paths, or of files as bytes, to images; relative paths start at the folder of their file."""
        column, stream = columns["image"], isinstance(rows, IterableDataset)
        feature = rows.features[column]
        if data.render is not None:
            rows = drawn_rows(rows, column, data.render)
        elif holds_text(feature):
            folder = folder_of(data, source)

            def one(path: str | None) -> dict[str, Any]:
                full = path if path is None or "://" in path else str(folder / path)
                return {column: {"bytes": None, "path": full} if stream else full}

            first = next((row[column] for row in islice(rows.select_columns([column]), 100) if row[column]), None)
            if first and "://" not in first and not (folder / first).is_file():
                raise DataError(
                    f"data.columns.image: column {column!r} contains text ({first[:60]!r}) and there is no file "
                    f"{str(folder / first)[:200]}; choose a column of images, or fix the paths"
                )
            features = Features({**rows.features, column: datasets.Image(decode=False) if stream else feature})
            rows = rows.map(one, input_columns=[column], features=features)
        elif not (
            self.plays("image", feature)
            or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})
            or (isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary"))
        ):
            raise DataError(f"data.columns.image: column {column!r} has type {feature}, not images; choose another")
        # rows of a stream are buffered before decoding, because files are much smaller than their pixels
        rows = rows.cast_column(column, datasets.Image(decode=not stream))
        return rows if isinstance(rows, IterableDataset) else dated(rows, column)

    def stored(self, rows: Rows, columns: Mapping[str, str]) -> Rows:
        """The rows with their images as undecoded files."""
        return rows.cast_column(columns["image"], datasets.Image(decode=False))

    def decoded(self, rows: IterableDataset, columns: Mapping[str, str], split: str) -> IterableDataset:
        """A stream of decoded images."""
        column = columns["image"]

        def one(stored: Any, row: int) -> dict[str, Any]:
            return {column: decoded(stored, column, split, row)}

        return rows.map(one, input_columns=[column, "row"])

    def decode_row(self, row: dict[str, Any], columns: Mapping[str, str], split: str, number: int) -> dict[str, Any]:
        """A row with its image decoded."""
        column = columns["image"]
        return {**row, column: decoded(row[column], column, split, number)}

    def digest(self, row: tuple[Any, ...], names: Sequence[str]) -> int:
        """The digest of an image's bytes, after a test that it can be decoded."""
        return self.inspect(row, names)[0]

    def file(self, row: tuple[Any, ...]) -> str | None:
        """The path of the image."""
        return _path(row[0])

    def inspect(self, row: tuple[Any, ...], names: Sequence[str]) -> tuple[int, str]:
        """`digest`, and how an image of more than 8 bits is scaled."""
        (stored,) = row
        if not stored or (stored["bytes"] is None and stored["path"] is None):
            raise BadRow(f"no image in column {names[0]!r}")
        if is_remote(stored):
            return 0, ""
        try:
            content = file_of(stored)
            with Image.open(BytesIO(content)) as image:
                image.draft(None, (1, 1))  # decodes JPEG at a reduced size, which still detects truncated files
                image.load()
                image.getexif()
                note = ""
                if image.mode not in ("RGB", "L"):
                    note = depth_note(image)
                    convert(image, "RGB")
        except Exception as error:  # decoders raise any exception on arbitrary bytes
            what = f"the image cannot be decoded ({type(error).__name__})"
            raise BadRow(what, file=_path(stored)) from None
        return digest_of(content), note

    def plain(self, value: Any) -> Any:
        """An image in RGB."""
        return convert(value, "RGB")

    def of_row(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
        """The image."""
        return row[columns["image"]]

    def open(self, argument: str, note: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
        """The image in a file, or all images below a folder, sorted by name."""
        return open_images(argument, note)

    def batch(self, inputs: Sequence[Any], processor: Any) -> dict[str, Any]:
        """The processor's output for images."""
        return dict(processed(list(inputs), processor))

    def blank(self, processor: Any) -> dict[str, Any]:
        """One grey image."""
        return self.batch([Image.new("RGB", (64, 64), (90, 120, 150))], processor)

    def on_device(self, processor: Any) -> Pixels | None:
        """Resizing, cropping and normalisation on the device, if the processor does nothing else."""
        return learn(processor)

    def step(
        self,
        processor: Any,
        columns: Mapping[str, str],
        split: str,
        seed: int = 0,
        augment: Sequence[Any] = (),
        on_device: Any = None,
        draws: Any = None,
    ) -> ImageStep:
        """Images -> levels for the device, or the model's inputs."""
        augmentation = grammar.compose(list(augment)) if augment else None
        return ImageStep(processor, columns["image"], split, augmentation, seed, on_device)

    def rows(self, rows: Dataset, step: ImageStep, known: str, content: np.ndarray | None = None) -> ImageRows:
        """Rows that are decoded when read."""
        return ImageRows(rows, step, content)

    def collate(self, processor: Any, problem: str, mlm_probability: float | None = None) -> ImageCollate:
        """Packs levels for the device, or stacks inputs of the model."""
        return ImageCollate(problem)

    def batches(
        self, inputs: Sequence[Any], size: int, processor: Any, on_device: Any
    ) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
        """Batches in the given order, preprocessed as in training."""
        step = ImageStep(processor, "", "", None, 0, on_device)
        for start in range(0, len(inputs), size):
            rows = [step(image, 0) for image in inputs[start : start + size]]
            yield range(start, start + len(rows)), image_batch(rows)


class ImageStep:
    """One image -> its levels for the device, or the model's input, augmented from (seed, epoch, row) alone.

    No shared generator is used, so any number of workers, any split over processes and any resumed run draws the same.

    Args:
        pixels: the preprocessing on the device; without it the processor makes the model's input here.
    """

    def __init__(
        self,
        processor: Any,
        column: str,
        split: str,
        augmentation: Callable | None,
        seed: int,
        pixels: Pixels | None = None,
    ):
        self.processor, self.column, self.split, self.pixels = processor, column, split, pixels
        self.augmentation, self.seed, self.draw = augmentation, seed, 0
        self.further: Callable | None = None  # follows the augmentation, in this draw
        self._epoch = torch.zeros(
            (), dtype=torch.long
        ).share_memory_()  # shared, so that persistent workers see it change

    @property
    def epoch(self) -> int:
        """The epoch used in augmentation draws."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        """Use this epoch in draws from now on, in running workers too."""
        self._epoch.fill_(epoch)

    def __call__(self, image: Image.Image, row: int, drawn: tuple[int, int] | None = None) -> dict[str, Any]:
        image = in_mode(image, self.processor)
        own = 0 if self.further is not None else self.draw
        for augmentation, draw in ((self.augmentation, own), (self.further, self.draw)):
            if augmentation is None:
                continue
            try:
                image = augmentation(image, np.random.default_rng(self._seeds(row, drawn, draw)))
            except ValueError as error:  # such as a crop larger than the image
                raise RowError(f"split {self.split}, row {row}: {error}") from None
        if self.pixels is None:
            return {key: value[0] for key, value in processed([image], self.processor).items()}
        values = levels(image)
        if image.width * image.height <= LARGE:
            return {"pixel_values": values}
        fitted = self.pixels.fit(torch.from_numpy(values.copy()).permute(2, 0, 1)[None])[0]
        return {"pixel_values": fitted.permute(1, 2, 0).numpy(), "fitted": True}

    def _seeds(self, row: int, drawn: tuple[int, int] | None, draw: int) -> tuple[int, ...]:
        return (self.seed, *(drawn or (self.epoch, row)), *([draw] if draw else []))

    def of_cells(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Rows of a stream -> inputs; draws depend on the pass and the place in it, since row numbers restart in each shard."""
        found = []
        for cell in cells:
            row, label = cell.row["row"], cell.row["labels"]
            image = decoded(cell.row[self.column], self.column, self.split, row)
            found.append({**self(image, row, (cell.epoch, cell.place)), "labels": label})
        return found


class ImageRows(torch.utils.data.Dataset):
    """Rows of images as model inputs, decoded when read, so that nothing is written to disk.

    Args:
        content: a digest of each image file, `(N,)`, 0 where it is not known; without it `identity` reads the files.
    """

    def __init__(self, rows: Dataset, step: ImageStep, content: np.ndarray | None = None):
        self.rows, self.step = rows.cast_column(step.column, datasets.Image(decode=False)), step
        self.content = content

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.__getitems__([i])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        columns, step = self.rows[indices], self.step
        cells = zip(columns[step.column], columns["row"], columns["labels"], strict=True)
        return [
            {**step(decoded(stored, step.column, step.split, row), row), "labels": label}
            for stored, row, label in cells
        ]

    def identity(self) -> str:
        """A digest of the images as files, the labels, and what is done to each image except augmentation."""
        column, content = self.step.column, self.content
        if content is None:
            content = np.array([file_digest(row[column]) for row in self.rows.select_columns([column])], np.int64)
        unknown = self.rows.select(np.flatnonzero(content == 0)).select_columns([column])
        parts = (
            table_digest(self.rows.remove_columns([column])),
            content.tobytes(),
            table_digest(unknown) if len(unknown) else "",
            settings_of(self.step.processor),
            VERSION,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def set_epoch(self, epoch: int) -> None:
        """Use this epoch in augmentation."""
        self.step.epoch = epoch

    def in_draw(self, draw: int, augment: Sequence[Any] = ()) -> ImageRows:
        """The same rows with another augmentation, drawn from (seed, epoch, row, draw); 0 is that of the rows themselves.

        Args:
            augment: operations as in a recipe; only these are then drawn anew, and follow the rows' own augmentation.
        """
        other = copy.copy(self)
        other.step = copy.copy(self.step)
        other.step.draw = draw
        other.step.further = grammar.compose(list(augment)) if augment else None
        return other

    def in_epoch(self, epoch: int) -> ImageRows:
        """The same rows as augmented in that epoch, regardless of the current epoch."""
        other = copy.copy(self)
        other.step = copy.copy(self.step)
        other.step._epoch = torch.tensor(epoch)
        return other


@dataclass(frozen=True)
class ImageCollate:
    """Rows of images -> batch: levels packed for the device, or inputs of the model stacked."""

    problem: str

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        labels = PROBLEMS[self.problem].label_tensor(np.array([row["labels"] for row in rows]).reshape(len(rows), -1))
        return {"labels": labels, **image_batch(rows)}


def image_batch(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Outputs of `ImageStep` for several images, as one batch."""
    if isinstance(rows[0]["pixel_values"], np.ndarray):
        return pack([row["pixel_values"] for row in rows], [row.get("fitted", False) for row in rows])
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0] if key != "labels"}


def decoded(stored: Any, column: str, split: str, row: int) -> Image.Image:
    """The decoded image, rotated upright according to its EXIF data.

    Raises:
        DataError: there is no image, or it cannot be decoded.
    """
    if stored is None or (isinstance(stored, dict) and stored["bytes"] is None and stored["path"] is None):
        raise RowError(f"split {split}, row {row}: no image in column {column!r}; fix or drop it")
    try:
        return datasets.Image().decode_example(stored)
    except Exception as error:  # decoders raise any exception on arbitrary bytes
        named = f": {printable(path)}" if (path := _path(stored)) else ""
        raise RowError(
            f"split {split}, row {row}: the image cannot be decoded ({type(error).__name__}){named}; fix or drop it"
        ) from None


def _path(stored: Any) -> str | None:
    """The path of a stored image; None for one without a file of its own."""
    return stored.get("path") if isinstance(stored, Mapping) else None
