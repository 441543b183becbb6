"""The cached rows of a split: each row's inputs, labels and states at the cut, and batches made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft.data.identity import token_counts
from hfft.frozen_cache.split_point import Cut
from hfft.frozen_cache.store import Field, Store, size_of
from hfft.frozen_cache.trace import NotCuttable

# In a batch, (B, 3) of int64: place in the store, version of the cut it was read for, number of the split. Not a tensor,
# because the host reads it in each step, and reading it back from a GPU would force a wait.
ROWS = "kept_rows"
STATE = "kept_state_"  # in a batch: the states at the cut
_LEAST = 16  # least number of text rows that run together
_PADDED = 1.1  # limit on computed tokens per real token when rows are grouped


@dataclass(frozen=True)
class Places:
    """Rows of a batch by their places in the store, with their inputs if these are not stored yet."""

    numbers: np.ndarray
    rows: Any | None


class CachedDataset(torch.utils.data.Dataset):
    """A split whose rows are read from the store if they are in it.

    Args:
        rows, collate: rows and collator as without a store.
        prepare: makes the model's inputs of a batch, on the device.
        number: number that identifies the split within a run.
        views: number of augmented views of each row; 0 without augmentation.
        seed: seed for the order in which the views of a row are shown.
    """

    def __init__(
        self,
        rows: Any,
        collate: Callable[[Any], dict[str, Any]],
        prepare: Callable[[dict[str, Any]], dict[str, Any]],
        number: int,
        views: int,
        seed: int,
    ):
        self.rows, self._collate, self._prepare = rows, collate, prepare
        self.number, self.views, self.seed = number, views, seed
        self.count = len(rows) * max(views, 1)
        self.tokens = token_counts(rows, views)
        self.store: Store | None = None
        self.shared = False  # whether the store began with rows of other stores
        self.version = 0
        self.pads: dict[str, float] = {}
        self.left = False
        self.offsets = getattr(rows, "offsets", None)  # of the rows of further sets behind the training rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Places:
        return self.__getitems__([row])

    def __getitems__(self, rows: list[int]) -> Places:
        numbers = np.asarray(rows, np.int64)
        if self.views:
            numbers = numbers + len(self.rows) * self.view_of(numbers)
        if self.store is not None and self.store.has(numbers).all():
            return Places(numbers, None)
        return Places(numbers, self.full(numbers))

    def view_of(self, rows: np.ndarray) -> np.ndarray:
        """The view of each row that this epoch shows."""
        return view_of(rows, self.rows.step.epoch, len(self.rows), self.views, self.seed)

    def full(self, numbers: np.ndarray) -> Any:
        """The rows at these places, loaded as without a store."""
        if not self.views:
            indices = numbers.tolist()
            whole = hasattr(self.rows, "__getitems__")
            return self.rows.__getitems__(indices) if whole else [self.rows[i] for i in indices]
        views, rows = np.divmod(numbers, len(self.rows))
        return [self.rows.in_epoch(int(view))[int(row)] for view, row in zip(views, rows, strict=True)]

    def collate(self, places: Any) -> dict[str, Any]:
        """A batch: the stored data of its rows if all are stored, otherwise their inputs."""
        if places.rows is None and self.store is not None and self.store.has(places.numbers).all():
            batch, version = self.batch(places.numbers), self.version
        else:
            rows = self.full(places.numbers) if places.rows is None else places.rows
            batch, version = self._collate(rows), 0
        marks = np.stack([places.numbers, np.full_like(places.numbers, version)], 1)
        return {**batch, ROWS: np.insert(marks, 2, self.number, axis=1)}

    def inputs(self, numbers: np.ndarray) -> dict[str, Any]:
        """The model's inputs for the rows at these places, loaded as without a store, on the device."""
        return self._prepare(self._collate(self.full(numbers)))

    # --- methods that need a cut

    def sample(self) -> dict[str, Any]:
        """A batch of a few rows, including the shortest and the longest, so that it contains padding."""
        order = (
            np.arange(len(self.rows))
            if self.tokens is None
            else np.argsort(self.tokens[: len(self.rows)], kind="stable")
        )
        places = np.unique(np.linspace(0, len(order) - 1, min(4, len(order))).astype(int))
        return self.inputs(order[places])

    def layout(self, cut: Cut) -> list[Field]:
        """The fields that the store has for each row; also determines how the collator pads.

        Raises:
            NotCuttable: batches cannot be assembled from single rows.
        """
        sample = {name: tensor.cpu() for name, tensor in self.sample().items()}
        mask = sample.get("attention_mask")
        length = None if mask is None or self.tokens is None else mask.shape[1]
        if self.tokens is not None and (mask is None or not self._padded_plainly(mask)):
            raise NotCuttable("the batches have no attention_mask that marks padding")
        self.left = mask is not None and not bool(mask[:, 0].all())
        fields = []
        for name, tensor in sample.items():
            if name in cut.placeholders:
                continue
            ragged = length is not None and tensor.ndim > 1 and tensor.shape[1] == length
            if ragged and mask is not None:
                padding = tensor[mask == 0]
                self.pads[name] = padding.flatten()[0].item() if padding.numel() else 0
                if padding.numel() and bool((padding != self.pads[name]).any()):
                    raise NotCuttable(f"the padding of {name} is not the same value everywhere")
            tail = tuple(tensor.shape[2 if ragged else 1 :])
            fields.append(Field(name, str(tensor.dtype).removeprefix("torch."), tail, ragged))
        for i, kept in enumerate(cut.kept):
            fields.append(Field(f"{STATE}{i}", str(kept.dtype).removeprefix("torch."), kept.tail, kept.along_tokens))
            if kept.along_tokens and length is None:
                raise NotCuttable("the batches have no attention_mask")
        return fields

    def _padded_plainly(self, mask: Tensor) -> bool:
        """Whether rows are aligned to one side of the batch, each with as many tokens as it has."""
        assert self.tokens is not None
        order = np.sort(self.tokens[: len(self.rows)])
        places = np.unique(np.linspace(0, len(order) - 1, min(4, len(order))).astype(int))
        counts = mask.sum(1)
        edge = torch.arange(mask.shape[1])[None] < counts[:, None]
        fits = torch.equal(mask.bool(), edge) or torch.equal(mask.bool(), edge.flip(1))
        return fits and counts.tolist() == order[places].tolist()

    def size(self, fields: list[Field]) -> int:
        """Size of all rows in bytes."""
        return size_of(fields, self.count, self.tokens)

    def open(self, folder: Path, fields: list[Field], version: int, note: str) -> None:
        """Store rows in this folder from now on."""
        self.close()
        self.store, self.version = Store(folder, fields, self.count, self.tokens), version
        (folder / "note.txt").write_text(note)

    def close(self) -> None:
        """Stop storing rows."""
        if self.store is not None:
            self.store.close()
        self.store = None

    def batch(self, numbers: np.ndarray) -> dict[str, Tensor]:
        """A batch of stored rows, with their states."""
        assert self.store is not None
        values = self.store.read(numbers)
        if self.tokens is None:
            return values
        counts = torch.from_numpy(self.tokens[numbers])
        longest = int(counts.max())
        own = torch.arange(longest)[None] < counts[:, None]
        places = (own.flip(1) if self.left else own).flatten().nonzero().flatten()
        for field in self.store.fields:
            if field.ragged:
                padded = torch.full((own.numel(), *field.tail), self.pads.get(field.name, 0), dtype=field.torch_dtype)
                padded[places] = values[field.name]
                values[field.name] = padded.view(*own.shape, *field.tail)
        return values

    def keep(self, numbers: np.ndarray, batch: Mapping[str, Tensor], states: list[Tensor]) -> None:
        """Store the rows of a batch with their states."""
        assert self.store is not None
        values = {**batch, **{f"{STATE}{i}": state for i, state in enumerate(states)}}
        own = None
        if self.tokens is not None:
            own = batch["attention_mask"].cpu().bool()
            if own.sum(1).tolist() != self.tokens[numbers].tolist():
                raise NotCuttable("the attention_mask of a batch hides real tokens of its rows")
        self.store.write(
            numbers, {f.name: values[f.name].cpu()[own] if f.ragged else values[f.name] for f in self.store.fields}
        )


def view_of(rows: np.ndarray, epoch: int, count: int, views: int, seed: int) -> np.ndarray:
    """The view of each of these rows that an epoch shows: all views in turn, starting with one drawn from (seed, row).

    Args:
        count: number of all rows.
    """
    return (np.random.default_rng(seed).integers(views, size=count)[rows] + epoch) % views


def parted(batch: Mapping[str, Tensor]) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Split a text batch into a few batches of rows of similar length, each cut to its longest row, with the rows' places.

    This is for the single pass before the cut: if a batch in random order is padded to its longest row, half of the work
    is padding. The result depends only on the batch; the sampler decides the order of training rows (`hfft.data.texts`).
    """
    mask = batch.get("attention_mask")
    size = len(next(iter(batch.values())))
    if mask is None or size < 2 * _LEAST:
        return [(torch.arange(size), dict(batch))]
    mask, device = mask.cpu(), mask.device  # copied from the GPU once instead of for each lookup below
    lengths, order = mask.sum(1).sort(stable=True)
    edges = [0]
    for end in range(_LEAST, size - _LEAST + 1, _LEAST):  # as few parts as keep padding low
        begin, following = edges[-1], end + _LEAST if end + 2 * _LEAST <= size else size
        if (following - begin) * int(lengths[following - 1]) > _PADDED * int(lengths[begin:following].sum()):
            edges.append(end)
    parts = []
    for rows in order.tensor_split(edges[1:]):
        used = mask[rows].any(0).nonzero().flatten()
        span = slice(int(used.min()), int(used.max()) + 1)
        places = rows.to(device, non_blocking=True)
        part = {n: t[places] for n, t in batch.items()}
        wide = mask.shape[1]
        parts.append((rows, {n: t[:, span] if t.ndim > 1 and t.shape[1] == wide else t for n, t in part.items()}))
    return parts
