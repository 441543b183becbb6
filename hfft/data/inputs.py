"""From rows to model inputs: text tokenised once, images decoded and augmented when read, batches padded to fit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from PIL import Image
from torch import nn
from transformers import DataCollatorForLanguageModeling

from hfft.data.augment import grammar
from hfft.data.batch_transform import LARGE, Pixels, learn, pack
from hfft.data.columns import RowError, decoded
from hfft.data.image_processor import in_mode, levels, processed
from hfft.data.load import Splits
from hfft.data.masking import MaskStep
from hfft.data.stream import Cell, Stream
from hfft.data.texts import LENGTH, TextCollate, TextRows, target
from hfft.errors import DataError
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels

VERSION = 1  # of what `tokenised` makes of a row: its cache knows the tokenizer, not the function
MAX_TEXT = 512  # tokens, for a tokenizer that states no limit


@dataclass(frozen=True)
class Prepared:
    """What a Trainer needs: the three splits, the function that makes a batch of rows, and what is left to be done to it.

    Attributes:
        on_device: a batch that has arrived on the device -> the model's inputs.
    """

    train: Any
    validation: Any
    test: Any
    collate: Callable[[Any], dict[str, Any]]
    on_device: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def items(self) -> list[tuple[str, Any]]:
        """(name, inputs) of the splits that are held out."""
        return [
            (name, rows) for name, rows in (("validation", self.validation), ("test", self.test)) if rows is not None
        ]


def prepare(splits: Splits, recipe: Recipe, labels: Labels, processor: Any) -> Prepared:
    """Model inputs of every split. Maps are cached: call it on one process per machine first, then on the others.

    Raises:
        DataError: an image that cannot be decoded or a text that is missing, with split and row.
    """
    ready: dict[str, Any] = {}
    seed = recipe.training.get("seed", 42)

    def stream(name: str, step: ImageStep | TextStep) -> Stream:
        buffer = recipe.data.shuffle_buffer if name == "train" else 0
        return Stream(splits.stored[name], splits.sizes[name], step.of_cells, buffer, seed)

    if recipe.the_task.modality == "text":
        known = Hasher.hash((VERSION, processor, splits.columns, recipe.the_task.labelled))  # once for all splits
        for name, rows in splits.items():
            draws = None if recipe.the_task.labelled else MaskStep(seed, name == "train")
            step = TextStep(processor, splits.columns, splits.source.get(name, name), draws)
            ready[name] = stream(name, step) if name in splits.stored else tokenised(rows, step, known)
    else:
        column, pixels = splits.columns["image"], learn(processor)
        for name, rows in splits.items():
            augmentation = grammar.compose(recipe.data.augment) if name == "train" and recipe.data.augment else None
            image_step = ImageStep(processor, column, splits.source.get(name, name), augmentation, seed, pixels)
            ready[name] = stream(name, image_step) if name in splits.stored else ImageRows(rows, image_step)
        return Prepared(
            ready["train"], ready.get("validation"), ready.get("test"), ImageCollate(labels.problem), pixels
        )
    return Prepared(ready["train"], ready.get("validation"), ready.get("test"), text_collate(processor, labels, recipe))


# --- text


def positions(model: nn.Module, wanted: int | None = None) -> list[int]:
    """How many tokens the model's tables of positions hold, table by table.

    Raises:
        DataError: the recipe asks for more.
    """
    places = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)  # RoBERTa counts from there
        for name, table in model.named_modules()
        if isinstance(table, nn.Embedding) and "position_embeddings" in name
    ]
    if wanted is not None and places and wanted > min(places):
        raise DataError(
            f"data.max_length: is {wanted}; the model has {min(places)} positions: ask for {min(places)} at most"
        )
    return places


def max_length(processor: Any, model: nn.Module, wanted: int | None) -> int:
    """The longest input in tokens: the recipe's, else the tokenizer's or the model's limit, else 512.

    Raises:
        DataError: the recipe asks for more than the model has positions for.
    """
    places = positions(model, wanted)
    stated = getattr(model.config.get_text_config(), "max_position_embeddings", None)  # type: ignore[union-attr, operator]
    limit = min([processor.model_max_length, *places, *([stated] if stated else [])])
    return wanted or (limit if limit < 100_000 else MAX_TEXT)


class TextStep:
    """Texts -> token ids, truncated to the tokenizer's `model_max_length`; padding and its mask wait for the batch.

    Args:
        columns: role (`text`, `text_pair`) -> column.
        draws: gives each row the draw it is masked by, where the task is to fill in what is hidden.
    """

    def __init__(self, tokenizer: Any, columns: Mapping[str, str], split: str, draws: MaskStep | None = None):
        self.tokenizer, self.split, self.draws = tokenizer, split, draws
        self.text, self.pair = columns["text"], columns.get("text_pair")

    @property
    def read(self) -> list[str]:
        """Columns that the model's inputs stand in the place of."""
        return [column for column in (self.text, self.pair) if column is not None]

    def __call__(self, batch: Mapping[str, list[Any]]) -> dict[str, Any]:
        """Columns of some rows -> columns of the model's inputs.

        Raises:
            DataError: a row without text.
        """
        for column in self.read:
            for row, value in zip(batch["row"], batch[column], strict=True):
                if not isinstance(value, str) or not value.strip():
                    raise RowError(
                        f"split {self.split}, row {row}: column {column!r} holds no text ({value!r}); mend or drop it"
                    )
        seconds = batch[self.pair] if self.pair else None
        return dict(self.tokenizer(batch[self.text], seconds, truncation=True, return_attention_mask=False))

    def of_cells(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Rows of a stream -> inputs."""
        tokens = self({column: [cell.row[column] for cell in cells] for column in (*self.read, "row")})
        rows = [{name: values[i] for name, values in tokens.items()} for i in range(len(cells))]
        for row, cell in zip(rows, cells, strict=True):
            if self.draws is None:
                row["labels"] = cell.row["labels"]
            else:
                row["draw"] = self.draws.draw(cell.place, cell.epoch)
        return rows


def tokenised(rows: Dataset, step: TextStep, known: str) -> TextRows:
    """All rows as token ids, once.

    By `known`, a digest of all that they depend on beside the rows, the cache of `datasets` finds them again.
    """

    def tokenise(batch: dict[str, list[Any]]) -> dict[str, Any]:
        tokens = step(batch)
        return {**tokens, LENGTH: [len(ids) for ids in tokens["input_ids"]]}

    drop = [*step.read, *(["row"] if step.draws is None else [])]
    kept, told = Hasher.hash((rows._fingerprint, known)), f"tokenise {step.split}"
    found = TextRows(rows.map(tokenise, batched=True, remove_columns=drop, new_fingerprint=kept, desc=told))
    return found if step.draws is None else found.masked_by(step.draws)


def text_collate(tokenizer: Any, labels: Labels, recipe: Recipe) -> TextCollate:
    """Pads a batch to its longest row; masks tokens where the task is to fill them in."""
    mask = None
    if not recipe.the_task.labelled:
        mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=recipe.data.mlm_probability)
    return TextCollate(tokenizer, labels.problem, mask)


# --- images


class ImageStep:
    """One image -> its levels for the device, or the model's input, augmented from (seed, epoch, row) alone.

    Never from a shared generator: so every worker count, every split over processes and every resumed run draws the same.

    Args:
        pixels: what the device does to the levels; without it the processor makes the model's input here.
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
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()  # workers that outlive an epoch see it change

    @property
    def epoch(self) -> int:
        """The epoch that augmentation draws for."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        """Let what is drawn from now on be of this epoch, in running workers too."""
        self._epoch.fill_(epoch)

    def __call__(self, image: Image.Image, row: int, drawn: tuple[int, int] | None = None) -> dict[str, Any]:
        image = in_mode(image, self.processor)
        if self.augmentation is not None:
            try:
                image = self.augmentation(image, np.random.default_rng(self._seeds(row, drawn)))
            except ValueError as error:  # such as a crop larger than the image
                raise RowError(f"split {self.split}, row {row}: {error}") from None
        if self.pixels is None:
            return {key: value[0] for key, value in processed([image], self.processor).items()}
        values = levels(image)
        if image.width * image.height <= LARGE:
            return {"pixel_values": values}
        fitted = self.pixels.fit(torch.from_numpy(values.copy()).permute(2, 0, 1)[None])[0]
        return {"pixel_values": fitted.permute(1, 2, 0).numpy(), "fitted": True}

    def _seeds(self, row: int, drawn: tuple[int, int] | None) -> tuple[int, ...]:
        return (self.seed, *(drawn or (self.epoch, row)), *([self.draw] if self.draw else []))

    def of_cells(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Rows of a stream -> inputs; each draws for its pass and its place in it, since row numbers begin anew in shards."""
        found = []
        for cell in cells:
            row, label = cell.row["row"], cell.row["labels"]
            image = decoded(cell.row[self.column], self.column, self.split, row)
            found.append({**self(image, row, (cell.epoch, cell.place)), "labels": label})
        return found


class ImageRows(torch.utils.data.Dataset):
    """Rows of images as model inputs, decoded when they are read, so that nothing is written to disk."""

    def __init__(self, rows: Dataset, step: ImageStep):
        self.rows, self.step = rows.cast_column(step.column, datasets.Image(decode=False)), step

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

    def set_epoch(self, epoch: int) -> None:
        """Let augmentation draw for this epoch."""
        self.step.epoch = epoch

    def in_draw(self, draw: int) -> ImageRows:
        """The same rows in another augmentation, drawn from (seed, epoch, row, draw); 0 is that of the rows themselves."""
        other = copy.copy(self)
        other.step = copy.copy(self.step)
        other.step.draw = draw
        return other

    def in_epoch(self, epoch: int) -> ImageRows:
        """The same rows as they are in that epoch, whatever epoch it is for others."""
        other = copy.copy(self)
        other.step = copy.copy(self.step)
        other.step._epoch = torch.tensor(epoch)
        return other


@dataclass(frozen=True)
class ImageCollate:
    """Rows of images -> batch: levels packed for the device, or inputs of the model as they are."""

    problem: str

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        labels = target(np.array([row["labels"] for row in rows]).reshape(len(rows), -1), self.problem)
        return {"labels": labels, **image_batch(rows)}


def image_batch(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What `ImageStep` made of some images, as one batch."""
    if isinstance(rows[0]["pixel_values"], np.ndarray):
        return pack([row["pixel_values"] for row in rows], [row.get("fitted", False) for row in rows])
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0] if key != "labels"}
