"""A model and rows -> features, `(N, D)`: in eval mode, without gradients, texts of similar length together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hfft.backbone.pooling import usual_pooling
from hfft.data.modality.base import OnDevice
from hfft.data.sound_batch import LENGTHS, unpadded
from hfft.data.texts import longest_first
from hfft.errors import DataError
from hfft.eval_mode import eval_mode
from hfft.features.views import View, Views
from hfft.tasks.table import Task


def extract(
    model: nn.Module,
    processor: Any,
    rows: Any,
    task: Task,
    *,
    pooling: str | None = None,
    layer: int | str = -1,
    batch_size: int = 32,
) -> np.ndarray:
    """The features `(N, D)`, float32, of rows in their order.

    Args:
        rows: a split as `data.prepare` makes it, or a list of inputs as a predictor takes them: texts, pairs, images.
        pooling: `cls`, `mean`, `max`, `last` or `pooler`; default: what the model was trained with.
        layer: number of a hidden state, -1 the last, or the path of a module.

    Raises:
        BadInput: the model has no such layer or pooling.
        DataError: the features of a row are not finite; the message names the first.
    """
    view = View(pooling or usual_pooling(model, task.modality.tokens), layer)
    (found,) = extract_views(model, processor, rows, task, [view], batch_size)
    check_finite(found)
    return found


def extract_views(
    model: nn.Module, processor: Any, rows: Any, task: Task, views: Sequence[View], batch_size: int = 32
) -> list[np.ndarray]:
    """The features `(N, D)` of each view, computed in one pass."""
    found: list[np.ndarray] = []
    for places, features in batches(model, processor, rows, task, Views(model, views), batch_size):
        if not found:
            found = [np.empty((len(rows), part.shape[1]), np.float32) for part in features]
        for whole, part in zip(found, features, strict=True):
            whole[places] = part
    return found or [np.empty((0, 0), np.float32) for _ in views]


class Reading(Protocol):
    """What reads features off a model: `Views`, or another."""

    def on(self) -> contextlib.AbstractContextManager[None]:
        """Inside, forward passes are observed."""

    def __call__(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """Run the model; features `(B, D)`, several of each row."""


@torch.no_grad()
def batches(
    model: nn.Module, processor: Any, rows: Any, task: Task, read: Reading, batch_size: int = 32
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """(places, features) batch by batch, each row once, in an efficient order.

    Args:
        rows: as for `extract`.
    """
    inputs = task.modality.inputs
    on_device: OnDevice | None = inputs.on_device(processor)
    device = next(model.parameters()).device
    with eval_mode(model), read.on():
        for places, batch in _loaded(processor, rows, task, batch_size, on_device):
            batch = {name: value for name, value in batch.items() if name != "labels"}
            moved = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
            features = read(moved if on_device is None else on_device(moved))
            yield np.asarray(places), [part.cpu().numpy() for part in features]


def _loaded(
    processor: Any, rows: Any, task: Task, batch_size: int, on_device: OnDevice | None
) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
    inputs = task.modality.inputs
    if not len(rows):
        return
    if not hasattr(rows, "__getitems__"):
        yield from inputs.batches(rows, batch_size, processor, on_device)
        return
    collate = inputs.collate(processor, task.problem)
    order = longest_first(rows.lengths) if hasattr(rows, "lengths") else list(range(len(rows)))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = collate(rows.__getitems__(places))
        for part in unpadded(batch) if LENGTHS in batch else [batch]:
            size = len(part["labels"])
            yield places[:size], part
            places = places[size:]


def check_finite(features: np.ndarray, ids: Sequence[Any] | None = None, where: str = "") -> None:
    """Raise DataError if the features of a row are not finite, naming the first such row by its id, or its number."""
    wrong = np.flatnonzero(~np.isfinite(features).all(1))
    if len(wrong):
        first = int(wrong[0])
        name = first if ids is None else ids[first]
        more = f" and of {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DataError(
            f"{where}{': ' if where else ''}the features of row {name}{more} are not finite; use another layer or "
            f"pooling, or backbone.dtype=float32"
        )
