"""The outputs of a model that does not change, for all training rows: computed once, and kept in the frozen cache's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hfft.data.identity import identity
from hfft.errors import RunError
from hfft.frozen_cache.describe import impossible
from hfft.frozen_cache.fingerprint import model_fingerprint
from hfft.frozen_cache.folder import make_room
from hfft.frozen_cache.store import Field, Store, size_of
from hfft.train.answers import answers
from hfft.wording import human

LOGITS = "logits"


def shown_views(trainer: Any) -> int:
    """The number of augmented views that the frozen cache shows in turn; 0 if each epoch draws its own, or none are drawn."""
    settings = trainer.cache_settings
    if settings is None or trainer.train_dataset is None:
        return 0
    return settings.views if impossible(trainer, settings.views) is None else 0


def kept_answers(trainer: Any, model: nn.Module, views: int) -> Tensor:
    """The logits `(N, C)` of a model for all training rows, or `(views * N, C)`: those of the first view of all rows first.

    They are read from the cache's folder if an earlier run stored them for the same weights, rows and processing. All processes
    must call this. A teacher with inputs of its own (`prepared`) has one view of them.
    """
    own, settings = getattr(model, "prepared", None), trainer.cache_settings
    rows, views = (trainer.train_dataset, views) if own is None else (own.train, 0)
    collate = None if own is None else own.collate
    store = None if settings is None else _opened(trainer, model, rows, views)
    numbers = np.arange(len(rows) * max(views, 1))
    try:
        found = torch.tensor([store is not None and bool(store.has(numbers).all())], device=trainer.args.device)
        if trainer.accelerator.gather(found).all() and store is not None:
            settings.say(f"teacher: {len(numbers)} rows from the cache")
            return store.read(numbers)[LOGITS]
        parts = [rows.in_epoch(view) for view in range(views)] or [rows]
        logits = torch.cat([answers(trainer, model, part, collate=collate).logits for part in parts])
        if store is not None and trainer.accelerator.is_local_main_process:
            store.write(numbers, {LOGITS: logits})
        return logits
    finally:
        if store is not None:
            store.close()


def _opened(trainer: Any, model: nn.Module, rows: Any, views: int) -> Store | None:
    """The store of these outputs; None if there is no room for it, or the rows cannot be identified."""
    settings = trainer.cache_settings
    field, count = Field(LOGITS, "float32", (trainer.labels.size,)), len(rows) * max(views, 1)
    try:
        content = [identity(rows), views]
    except TypeError:
        return None
    if views:
        content += [trainer.args.seed, repr(rows.step.augmentation)]
    digest = hashlib.sha256(f"answers {model_fingerprint(model, trainer.args)} {content}".encode())
    folder = Path(settings.folder) / digest.hexdigest()[:32]
    if refused := make_room(folder, size_of([field], count, None), settings.limit):
        settings.say(f"teacher: nothing is cached, {refused}")
        return None
    try:
        store = Store(folder, [field], count)
        (folder / "note.txt").write_text(f"{type(model).__name__}, outputs, {count} rows, {human(store.bytes)}")
    except (RunError, OSError) as error:
        settings.say(f"teacher: nothing is cached, {error}")
        return None
    return store
