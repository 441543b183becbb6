"""Run the frozen prefix of a training run once per row: find it when training begins, and again whenever other layers learn."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Trainer

from hfft.data.identity import identity
from hfft.errors import RunError
from hfft.frozen_cache.cached_dataset import ROWS, STATE, CachedDataset, parted
from hfft.frozen_cache.describe import ONCE, Found, cached, describe, impossible, search
from hfft.frozen_cache.find import Logits
from hfft.frozen_cache.fingerprint import fingerprint
from hfft.frozen_cache.folder import make_room
from hfft.frozen_cache.shared_rows import take_over
from hfft.frozen_cache.split_point import Cut, random_state_kept
from hfft.frozen_cache.threads import one_thread
from hfft.frozen_cache.trace import NotCuttable, same
from hfft.layers import Depths
from hfft.wording import human

FEW = 1e7  # multiplications per batch after the cut below which waking a second thread costs more than it saves


@dataclass(frozen=True)
class FrozenCacheSettings:
    """How a training run stores the outputs of its frozen prefix.

    Attributes:
        folder: the cache folder.
        limit: size limit of the cache in bytes.
        views: number of augmented views of each training row; 0 without augmentation.
        say: prints what is cached, or why nothing is.
    """

    folder: Path
    limit: int
    views: int = 0
    say: Callable[[str], None] = lambda line: None


class FrozenCache:
    """The frozen prefix during one call of `train`: which rows' states are stored, and forward passes that start from them."""

    def __init__(self, trainer: Trainer, settings: FrozenCacheSettings, depths: Depths, logits: Logits):
        self.trainer, self.settings, self.depths, self.logits = trainer, settings, depths, logits
        self.cut: Cut | None = None
        self.version = 0
        self.report: dict[str, Any] = {}
        self._learns: tuple[bool, ...] = ()
        # collecting these in each step would take longer than the head
        self._parameters = list(trainer.model.parameters())
        self._proven = False
        self._serving = contextlib.ExitStack()
        self._seen: dict[int, CachedDataset | None] = {}  # by the identity of a loader's rows
        self.why_not = impossible(trainer, settings.views)
        if self.why_not not in (None, ONCE) and not all(p.requires_grad for p in trainer.model.parameters()):
            self._stop(self.why_not)

    # --- batches

    @contextlib.contextmanager
    def feeding(self, rows: Any) -> Iterator[Any]:
        """The rows that a loader should read in place of these; inside, the Trainer's collator is the one for them."""
        split = self._split(rows)
        if split is None:
            yield rows
            return
        before, self.trainer.data_collator = self.trainer.data_collator, split.collate
        try:
            yield split
        finally:
            self.trainer.data_collator = before

    def _split(self, rows: Any) -> CachedDataset | None:
        if id(rows) not in self._seen:
            mine = rows is not None and (rows is self.trainer.train_dataset or rows is self.trainer.eval_dataset)
            split = None
            if mine and self.why_not is None:
                split = cached(self.trainer, rows, len(self._seen), self.settings.views)
            self._seen[id(rows)] = split
        return self._seen[id(rows)]

    # --- steps

    def ready(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs of a forward pass that starts at the cut, which is active until `release`; unchanged if there is no cut."""
        self.release()
        marks = inputs.get(ROWS)
        if marks is None:
            return inputs
        model = self.trainer.model
        split = next(s for s in self._seen.values() if s is not None and s.number == marks[0, 2])
        numbers, version = np.ascontiguousarray(marks[:, 0]), int(marks[0, 1])
        states = [inputs[f"{STATE}{i}"] for i in range(sum(name.startswith(STATE) for name in inputs))]
        inputs = {name: value for name, value in inputs.items() if name != ROWS and not name.startswith(STATE)}
        learns = tuple(p.requires_grad for p in self._parameters)
        if learns != self._learns and model.training:
            self._follow(split, learns)
        fits = self.cut is not None and learns == self._learns and split.store is not None
        if version and (version != self.version or not fits):
            # loaded before other layers began to learn, or before the cache was given up
            inputs, version = {**inputs, **split.inputs(numbers)}, 0
        if self.cut is None or not fits:
            return inputs
        try:
            if not version:
                states = self._states(split, numbers, inputs)
            if not self._proven and model.training:
                inputs = inputs if not version else {**inputs, **split.inputs(numbers)}
                self._prove(inputs, states)
        except NotCuttable as error:
            self._stop(str(error))
            return inputs if not version else {**inputs, **split.inputs(numbers)}
        device = self.trainer.args.device
        filled = self.cut.fill_in(inputs, len(numbers), device)
        self._serving.enter_context(self.cut.handing(model, states, _tensors(filled)))
        if self.cut.left * len(numbers) < FEW:
            self._serving.enter_context(one_thread(device))
        return filled

    def release(self) -> None:
        """Let the model run in full again."""
        self._serving.close()

    def close(self) -> None:
        """Close the stores when training is over."""
        self.release()
        for split in self._seen.values():
            if split is not None and split.store is not None:
                if split is self._seen.get(id(self.trainer.train_dataset)):
                    self.report |= {"rows": split.store.count(), "of": split.count}
                split.close()
        self.cut = None

    def _states(self, split: CachedDataset, numbers: np.ndarray, inputs: dict[str, Any]) -> list[Tensor]:
        """The states of a batch, computed by running it up to the cut unless all of its rows are stored."""
        assert self.cut is not None
        assert split.store is not None
        if not split.store.has(numbers).all():
            training = split.rows is self.trainer.train_dataset and not split.views  # without rows of further sets
            rows = self.trainer.beside(numbers) if training else numbers
            if split.shared:  # batches are incomplete by what others had in common, not by a crash
                rows = rows[~split.store.has(rows)]
            whole = _tensors(inputs if rows is numbers else split.inputs(rows))
            labels = whole.pop("labels")  # labels as wide as the texts by chance must not be cut
            for places, part in parted(whole):
                own = {**part, "labels": labels[places.to(labels.device, non_blocking=True)]}
                split.keep(rows[places.numpy()], own, self.cut.record(self.trainer.model, part))
        batch, device = split.batch(numbers), self.trainer.args.device
        return [batch[f"{STATE}{i}"].to(device, non_blocking=True) for i in range(len(self.cut.kept))]

    def _prove(self, inputs: dict[str, Any], states: list[Tensor]) -> None:
        """Compute the first batch with and without the cache.

        Raises:
            NotCuttable: the outputs differ.
        """
        assert self.cut is not None
        model, device = self.trainer.model, self.trainer.args.device
        given = {name: tensor for name, tensor in _tensors(inputs).items() if name != "labels"}
        filled = self.cut.fill_in(given, len(next(iter(given.values()))), device)
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        outputs = []
        for batch, place in ((given, contextlib.nullcontext()), (filled, self.cut.handing(model, states, filled))):
            with torch.no_grad(), random_state_kept(given), place:
                outputs.append(self.logits(model(**batch)))
            with torch.no_grad():
                for buffer, was in buffers:
                    buffer.copy_(was)
        if not same(outputs[1], outputs[0]):
            raise NotCuttable("the outputs of the first batch differ when computed from the cut on")
        self._proven = True

    # --- the cut

    def _follow(self, split: CachedDataset, learns: tuple[bool, ...]) -> None:
        """Find the cut again, because other parameters learn now."""
        self._learns, self._proven = learns, False
        for other in self._seen.values():
            if other is not None:
                other.close()
        self.cut = None
        self.version += 1
        if all(learns):
            return
        try:
            both = map(self._split, (self.trainer.train_dataset, self.trainer.eval_dataset))
            splits = [split, *(s for s in both if s is not None and s is not split)]
            self._open(search(self.trainer.model, splits, self.logits))
        except (NotCuttable, RunError) as error:
            self._stop(str(error))

    def _open(self, found: Found) -> None:
        cut = found.cut
        words, prefix = (
            describe(cut, self.trainer.model, self.depths),
            fingerprint(cut, self.trainer.model, self.trainer.args),
        )
        for split, fields in found.layouts:
            try:
                content = identity(split.rows)
            except TypeError as error:
                raise NotCuttable(f"the content of {error} cannot be digested") from None
            rows = hashlib.sha256(repr((content, split.views, split.seed * bool(split.views), fields)).encode())
            if split.views:
                rows.update(repr(split.rows.step.augmentation).encode())
            folder = self.settings.folder / hashlib.sha256(f"{prefix} {rows.hexdigest()}".encode()).hexdigest()[:32]
            refused = make_room(folder, split.size(fields), self.settings.limit)
            if refused:
                raise NotCuttable(refused)
            split.open(
                folder, fields, self.version, f"{type(self.trainer.model).__name__}, {words}, {split.count} rows"
            )
            if not split.views and split.store is not None:
                with contextlib.suppress(OSError):  # then they are computed again
                    split.shared = take_over(split.store, split.rows, prefix)
        self.cut = cut
        self.report = {"cut": words, "share": round(cut.share, 4), "bytes": found.needed}
        self.settings.say(f"cache: {words}, {human(found.needed)} at most")

    def _stop(self, why: str) -> None:
        self.cut = None
        for split in self._seen.values():
            if split is not None:
                split.close()
        self.report = {"cut": None, "why": why}
        self.settings.say(f"cache: off, {why}")


def _tensors(inputs: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
