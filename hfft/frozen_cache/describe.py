"""Whether the frozen part of a training run can be cached, and where the cut is; also used by `hfft show`."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hfft.data.joined_rows import JoinedRows
from hfft.data.stream import Stream
from hfft.eval_mode import modes_restored
from hfft.frozen_cache.cached_dataset import CachedDataset
from hfft.frozen_cache.find import Logits, find
from hfft.frozen_cache.split_point import Cut
from hfft.frozen_cache.store import Field
from hfft.frozen_cache.trace import NotCuttable
from hfft.layers import Depths
from hfft.strategy.needs import read_sets, uncacheable
from hfft.wording import human

ONCE = "one epoch reads every row once"


@dataclass(frozen=True)
class Found:
    """A cut, and the fields stored for each split.

    Attributes:
        needed: size of all rows in bytes.
    """

    cut: Cut
    layouts: list[tuple[CachedDataset, list[Field]]]
    needed: int


def impossible(trainer: Any, views: int) -> str | None:
    """Why a training run caches nothing, whatever is frozen; None if it can.

    Args:
        views: number of augmented views of each training row.
    """
    args, rows = trainer.args, trainer.train_dataset
    if isinstance(rows, Stream) or not len(rows):
        return "the data is streamed"
    if args.torch_compile:
        return "the model is compiled"
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return "the model's weights are sharded over the processes"
    forked = multiprocessing.get_start_method() == "fork" and not args.dataloader_persistent_workers
    if args.dataloader_num_workers > 0 and not forked:
        return "it needs loader processes that are forked and end with each epoch"
    at_once = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    epochs = args.max_steps * at_once / len(rows) if args.max_steps > 0 else args.num_train_epochs
    if epochs <= 1:
        return ONCE
    why = uncacheable(trainer.methods)
    if why is not None:
        return why
    for held in (rows, trainer.eval_dataset):
        if why := getattr(held, "varied", None):
            return why
    step = getattr(rows, "step", None)
    if views and read_sets(trainer.methods):
        return "views of the rows of data.sets are not kept"
    if getattr(getattr(step, "augmentation", None), "steps", None) and not views:
        return "augmented rows differ in every epoch; to cache four views of each, set layers.cache={views: 4}"
    return None


def cached(trainer: Any, rows: Any, number: int, views: int) -> CachedDataset:
    """The rows of a split as the cache serves them; behind the training rows, those of the sets that methods read beside them."""
    training = rows is trainer.train_dataset
    if training and (names := read_sets(trainer.methods)):
        rows = JoinedRows(rows, {name: trainer.sets[name] for name in names})
    prepare = trainer._prepare_inputs
    return CachedDataset(rows, trainer.data_collator, prepare, number, views if training else 0, trainer.args.seed)


def search(model: nn.Module, splits: Sequence[CachedDataset], logits: Logits) -> Found:
    """Find the cut of a model in its current state, using rows of the first split.

    Raises:
        NotCuttable: there is none.
    """
    sample = {name: tensor for name, tensor in splits[0].sample().items() if name != "labels"}
    cut = find(model, sample, logits)
    layouts = [(split, split.layout(cut)) for split in splits]
    return Found(cut, layouts, sum(split.size(fields) for split, fields in layouts))


def describe(cut: Cut, model: nn.Module, depths: Depths) -> str:
    """A cut, described in words."""
    inside = [
        depths.of(name)
        for name, _ in model.named_parameters()
        if any(f".{name}".find(f".{path}.") >= 0 for path in cut.stands)
    ]
    deepest, blocks = max(inside, default=0), depths.blocks
    if deepest >= blocks:
        return f"everything before the head runs once ({cut.share:.0%} of the work)"
    ran = f"blocks 1-{deepest} of {blocks}" if deepest > 1 else f"block 1 of {blocks}" if deepest else "the embeddings"
    return f"{ran} run{'s' if deepest == 1 else ''} once (cut before block {deepest + 1}, {cut.share:.0%} of the work)"


def describe_ahead(trainer: Any, logits: Logits) -> str:
    """The line about its cache that a training run would print before the first step; writes nothing, leaves the model as it is.

    It is found on a few rows. The run also tries its first batch both ways and checks free disk space, and may still refuse.
    """
    settings, follow, model = trainer.cache_settings, trainer.follow, trainer.model
    waiting = {depth for depth, start in follow.begins.items() if not start.reached(0, 0)} if follow else set()
    with _at_first(trainer, waiting):
        if all(p.requires_grad for p in model.parameters()):
            return "cache: off, everything learns"
        if (why := impossible(trainer, settings.views)) is not None:
            return f"cache: off, {why}"
        held = [rows for rows in (trainer.train_dataset, trainer.eval_dataset) if rows is not None]
        splits = [cached(trainer, rows, i, settings.views) for i, rows in enumerate(held)]
        try:
            with trainer.last_block.place(model):
                found = search(model, splits, logits)
        except NotCuttable as error:
            return f"cache: off, {error}"
        if found.needed > settings.limit:
            return f"cache: off, it needs {human(found.needed)}, above its limit of {human(settings.limit)}"
        moves = "; the cut moves with the schedule" if waiting else ""
        return f"cache: {describe(found.cut, model, trainer.depths)}, {human(found.needed)} at most{moves}"


@contextlib.contextmanager
def _at_first(trainer: Any, waiting: set[int]) -> Iterator[None]:
    """The model in its state at the first step: layers that have not started are frozen, and what is frozen is in `eval()`."""
    model = trainer.model
    before = [(p, p.requires_grad) for p in model.parameters()]
    try:
        for name, parameter in model.named_parameters() if waiting else ():
            parameter.requires_grad_(parameter.requires_grad and trainer.depths.of(name) not in waiting)
        with modes_restored(model):
            model.train()
            trainer.modes.set(model, trainer.live_norms)
            yield
    finally:
        for parameter, learns in before:
            parameter.requires_grad_(learns)
