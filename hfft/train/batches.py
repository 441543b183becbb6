"""A Trainer that distributes rows so that each counts once per epoch, for any number of processes and workers."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor
from transformers.trainer_utils import has_length

from hfft.data.sound_batch import LENGTHS, unpadded
from hfft.data.stream import Stream, StreamOrder
from hfft.data.texts import ByLength, TextRows, longest_first
from hfft.train.companions import ROW_NUMBERS, AccompaniedRows, MethodOrder
from hfft.train.resume import Resumable

NUM_OWN_ROWS = "num_own_rows"  # in a batch: how many rows, from the first, count
TOKENS = 4096  # run forward together, at most: more is no faster, and costs memory


class Dealing(Resumable):
    """Trainer whose row orders depend only on seed and epoch, can be resumed, and end with the rows.

    All processes need the same number of batches, so the last ones are filled up; filler rows are left out of every sum.
    """

    _order: StreamOrder | None = None  # of the stream that is trained on
    _by_length: ByLength | None = None  # of the texts that are trained on
    order: MethodOrder | None = None  # set by a method

    # --- orders

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Texts of similar length together, in an order that depends only on seed and epoch; transformers' cannot be resumed."""
        args, rows = self.args, self.train_dataset if train_dataset is None else train_dataset
        if self.order is not None:
            return self.order
        if isinstance(rows, Stream):
            self._order = StreamOrder(rows, self._together(args.train_batch_size), training=True)
            return self._order
        if args.train_sampling_strategy != "group_by_length" or not isinstance(rows, TextRows):
            return super()._get_train_sampler(train_dataset)
        batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self._by_length = ByLength(rows, batch, args.seed if args.data_seed is None else args.data_seed)
        return self._by_length

    def _get_dataloader(self, dataset: Any, *args: Any, is_training: bool = False, **kwargs: Any) -> Any:
        """As transformers does, except that `dataloader_drop_last` concerns training alone: every held-out row is scored."""
        dropping = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = dropping and is_training
        try:
            return super()._get_dataloader(dataset, *args, is_training=is_training, **kwargs)
        finally:
            self.args.dataloader_drop_last = dropping

    def beside(self, rows: np.ndarray) -> np.ndarray:
        """These rows and others of the epoch that suit the same forward pass; depends only on seed and epoch.

        With several processes, only `rows`: each process runs its own, which Accelerate assigns batch by batch.
        """
        if self._by_length is None or self.args.world_size > 1:
            return rows
        found = self._by_length.beside(int(rows[0]), TOKENS)
        return found if np.isin(rows, found).all() else rows

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        """The scoring order; a stream is read in its own order."""
        if isinstance(eval_dataset, Stream):
            return StreamOrder(eval_dataset, self._together(self.args.eval_batch_size))
        if isinstance(eval_dataset, TextRows):
            return self.scoring_order(eval_dataset).tolist()
        return super()._get_eval_sampler(eval_dataset)

    def scoring_order(self, rows: Any) -> np.ndarray:
        """The order in which rows are scored, `(len(rows),)`: texts from longest to shortest, others in their own order."""
        return np.array(longest_first(rows.lengths)) if isinstance(rows, TextRows) else np.arange(len(rows))

    def _together(self, batch: int) -> int:
        """A stream is filled up to a multiple of this many rows, so that all processes have equally many batches."""
        processes = self.args.world_size
        return batch * processes if processes > 1 and not self.args.dataloader_drop_last else 1

    # --- ends

    def own_mean(self, sums: Tensor, counts: Tensor) -> Tensor:
        """The mean loss of a held-out batch without the rows by which Accelerate fills up the last one of several processes."""
        state, size = self.accelerator.gradient_state, len(sums)
        if self.args.world_size > 1 and state.end_of_dataloader and state.remainder > 0:
            own = min(max(state.remainder - self.args.process_index * size, 0), size)
            sums, counts = sums[:own], counts[:own]
        return sums.sum() / counts.sum().clamp(min=1)

    def _leave_out_repeats(self, batches: list[Any]) -> None:
        """Record how many rows of an epoch's last batch are its own.

        Accelerate fills it up with the epoch's first rows, `StreamOrder` with rows of its own, so that all processes have
        equally many. Accelerate's own `remainder` is unknown in the epoch in which a run resumes.
        """
        loader, size = self.accelerator.gradient_state, num_rows(batches[-1])
        dealt = self.args.train_sampling_strategy != "batch_rebalance" or self._order is not None
        filled = dealt and self.args.world_size > 1 and not self.args.dataloader_drop_last
        if not (filled and loader.end_of_dataloader and has_length(loader.active_dataloader.dataset)):
            return
        rows = loader.active_dataloader.dataset
        total = rows.total_dataset_length if hasattr(rows, "total_dataset_length") else len(rows)
        if remainder := total % (size * self.args.world_size):
            own = remainder - self.args.process_index * size
            batches[-1] = {**batches[-1], NUM_OWN_ROWS: min(max(own, 0), size)}

    def _end_with_the_rows(self) -> None:
        """In the last scored batch of a stream: gather only its own rows, which are counted only now."""
        loader = self.accelerator.gradient_state.active_dataloader
        if loader is not None and loader.end_of_dataloader and isinstance(loader.dataset, Stream):
            loader.remainder = loader.dataset.count % loader.total_batch_size

    # --- checkpoints

    def progress(self) -> dict[str, Any]:
        """The base class's progress, with the position in the stream."""
        mark = None if self._order is None else self._order.mark(self._rows_of_epoch())
        return {**super().progress(), "stream": mark}

    def restore(self, progress: dict[str, Any]) -> None:
        """Also restore the position in the stream and read on from there; without one it is read from the start."""
        super().restore(progress)
        mark = progress.get("stream")
        if self._order is not None and mark is not None and mark["rows"] <= self._rows_of_epoch():
            self._order.resume = mark

    def _rows_of_epoch(self) -> int:
        """Rows of the current epoch that were trained on, over all processes."""
        args, steps, loader = self.args, self.state.global_step, self.callback_handler.train_dataloader
        if has_length(loader):
            steps %= max(math.ceil(len(loader) / args.gradient_accumulation_steps), 1)
        return steps * args.gradient_accumulation_steps * args.train_batch_size * args.world_size


def num_rows(batch: dict[str, Any]) -> int:
    """Number of the task's rows in a collated batch, without companions."""
    numbers = batch.get(ROW_NUMBERS)
    return len(batch["labels"]) // (1 if numbers is None else 1 + len(numbers.parts))


def in_parts(inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """A batch in parts, so that memory for scoring does not depend on the longest row: texts of at most `TOKENS` tokens together.

    Sounds are in parts without padding.
    """
    if LENGTHS in inputs:
        return unpadded(inputs)
    tokens = inputs.get("input_ids")
    if tokens is None or tokens.numel() <= TOKENS:
        return [inputs]
    rows = max(TOKENS // tokens.shape[1], 1)

    def part(begin: int) -> dict[str, Any]:
        whole = {n: v for n, v in inputs.items() if not isinstance(v, Tensor) or len(v) != len(tokens)}
        return {**whole, **{n: v[begin : begin + rows] for n, v in inputs.items() if n not in whole}}

    return [part(begin) for begin in range(0, len(tokens), rows)]


def some_rows(rows: Any, count: int) -> Any:
    """`count` rows as a DataLoader fetches them; for texts, the longest ones."""
    if not hasattr(rows, "__getitem__"):
        return list(islice(rows, count))
    plain = rows.rows if isinstance(rows, AccompaniedRows) else rows
    chosen = longest_first(plain.lengths)[:count] if isinstance(plain, TextRows) else list(range(min(count, len(rows))))
    chosen = (chosen * count)[:count]
    return rows.__getitems__(chosen) if hasattr(rows, "__getitems__") else [rows[i] for i in chosen]
