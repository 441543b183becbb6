"""Images: decoded and augmented when read, so that nothing is written to disk, and resized on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from datasets import Dataset, IterableDataset
from PIL import Image, ImageOps

from hfft.data.audit import BadRow
from hfft.data.augment import grammar
from hfft.data.batch_transform import LARGE, Pixels, learn, pack
from hfft.data.columns import RowError, folder_of, holds_text
from hfft.data.digest import digest_of
from hfft.data.file_paths import ending
from hfft.data.file_rows import FileRows, FileStep
from hfft.data.image_paths import IMAGES
from hfft.data.image_processor import VERSION, convert, depth_note, in_mode, levels, processed
from hfft.data.masking import MaskStep
from hfft.data.modality.audio import AudioInputs
from hfft.data.modality.base import Inputs, Rows
from hfft.data.open_files import open_files
from hfft.data.patch_masks import DRAW
from hfft.data.render import BAD, NOTE, drawn_rows
from hfft.data.sound_paths import SOUNDS
from hfft.data.spec import Data
from hfft.data.stored_files import dated, file_of, full_paths, is_empty, is_remote, path_of
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
        """Convert a column of paths, or of files as bytes, to images; relative paths start at the folder of their file.

        With `data.render` it is a column of texts or of sounds, which are drawn, or of images that are drawn already.
        """
        column, stream = columns["image"], isinstance(rows, IterableDataset)
        feature = rows.features[column]
        if data.render is not None and not self.plays("image", feature):
            if data.render.kind == "spectrogram":
                rows = AudioInputs().read(rows, {"image": column}, data, split, source)
            rows = drawn_rows(rows, column, data.render)
        elif holds_text(feature):
            rows = full_paths(rows, "image", column, folder_of(data, source), IMAGES, datasets.Image(decode=False))
        elif not (
            self.plays("image", feature)
            or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})
            or (isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary"))
        ):
            remedy = "choose another"
            if AudioInputs().plays("audio", feature):
                remedy = "draw sounds with data.render.kind=spectrogram, or use task audio-classification"
            raise DataError(f"data.columns.image: column {column!r} has type {feature}, not images; {remedy}")
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
        return path_of(row[0])

    def inspect(self, row: tuple[Any, ...], names: Sequence[str]) -> tuple[int, str]:
        """`digest`, and how an image of more than 8 bits is scaled."""
        (stored,) = row
        if is_empty(stored):
            raise BadRow(f"no image in column {names[0]!r}")
        if is_remote(stored):
            return 0, ""
        try:
            content = file_of(stored)
            with Image.open(BytesIO(content)) as image:
                image.draft(None, (1, 1))  # decodes JPEG at a reduced size, which still detects truncated files
                image.load()
                image.getexif()
                undrawn, note = image.info.get(BAD), image.info.get(NOTE, "")
                if image.mode not in ("RGB", "L"):
                    note = depth_note(image)
                    convert(image, "RGB")
        except Exception as error:  # decoders raise any exception on arbitrary bytes
            what = f"the image cannot be decoded ({type(error).__name__})"
            if ending(path_of(stored) or "") in SOUNDS.readable():
                what = "the file is a sound (data.render.kind=spectrogram draws sounds)"
            raise BadRow(what, file=path_of(stored)) from None
        if undrawn is not None:
            raise BadRow(undrawn, file=path_of(stored))
        return digest_of(content), note

    def plain(self, value: Any) -> Any:
        """An image in RGB."""
        return convert(value, "RGB")

    def of_row(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
        """The image."""
        return row[columns["image"]]

    def open(self, argument: str, note: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
        """The image in a file, or all images below a folder, sorted by name."""
        return open_files(argument, IMAGES, _opened, note)

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
        return ImageStep(processor, columns["image"], split, augmentation, seed, on_device, draws)

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


class ImageStep(FileStep):
    """One image -> its levels for the device, or the model's input.

    Args:
        pixels: the preprocessing on the device; without it the processor makes the model's input here.
        draws: gives each image the draw of its mask, in masked image modelling.
    """

    version = VERSION

    def __init__(
        self,
        processor: Any,
        column: str,
        split: str,
        augmentation: Callable | None,
        seed: int,
        pixels: Pixels | None = None,
        draws: MaskStep | None = None,
    ):
        super().__init__(processor, column, split, augmentation, seed)
        self.pixels, self.draws = pixels, draws

    def decoded(self, stored: Any, row: int) -> Image.Image:
        """The image in a file."""
        return decoded(stored, self.column, self.split, row)

    def __call__(self, image: Image.Image, row: int, drawn: tuple[int, int] | None = None) -> dict[str, Any]:
        found = self._input(image, row, drawn)
        if self.draws is None:
            return found
        epoch, place = drawn or (self.epoch, row)
        return {**found, DRAW: self.draws.draw(place, epoch)}

    def _input(self, image: Image.Image, row: int, drawn: tuple[int, int] | None) -> dict[str, Any]:
        image = in_mode(image, self.processor)
        image = self.applied(image, row, drawn, lambda augmentation, one, rng: augmentation(one, rng))
        if self.pixels is None:
            return {key: value[0] for key, value in processed([image], self.processor).items()}
        values = levels(image)
        if image.width * image.height <= LARGE:
            return {"pixel_values": values}
        fitted = self.pixels.fit(torch.from_numpy(values.copy()).permute(2, 0, 1)[None])[0]
        return {"pixel_values": fitted.permute(1, 2, 0).numpy(), "fitted": True}


class ImageRows(FileRows):
    """Rows of images as model inputs."""


@dataclass(frozen=True)
class ImageCollate:
    """Rows of images -> batch: levels packed for the device, or inputs of the model stacked."""

    problem: str

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        if "labels" not in rows[0]:  # of a task without labels
            return image_batch(rows)
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
    if is_empty(stored):
        raise RowError(f"split {split}, row {row}: no image in column {column!r}; fix or drop it")
    named = f": {printable(path)}" if (path := path_of(stored)) else ""
    try:
        image = datasets.Image().decode_example(stored)
    except Exception as error:  # decoders raise any exception on arbitrary bytes
        raise RowError(
            f"split {split}, row {row}: the image cannot be decoded ({type(error).__name__}){named}; fix or drop it"
        ) from None
    if BAD in image.info:
        raise RowError(f"split {split}, row {row}: {image.info[BAD]}{named}; fix or drop it")
    return image


def _opened(file: Path) -> Image.Image | DataError:
    """The image in a file, or why it cannot be read."""
    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise any exception on arbitrary bytes
        return DataError(f"{file} is not a readable image ({type(error).__name__})")
