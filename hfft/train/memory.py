"""Out of memory: run the same global batch in smaller micro-batches, from a clean state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from accelerate.utils.memory import should_reduce_batch_size
from transformers import TrainingArguments

from hfft.errors import RunError
from hfft.wording import first_line


class TooLarge(RunError):
    """A training step did not fit into memory; `smaller` is an equivalent (size, accumulation), or None."""

    def __init__(self, arguments: TrainingArguments, error: BaseException):
        size, accumulation = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
        self.smaller = smaller(size, accumulation)
        remedy = "the micro-batch is already one row; use a smaller model or shorter inputs"
        if self.smaller is not None:
            remedy = (
                f"use training.per_device_train_batch_size={self.smaller[0]} and "
                f"training.gradient_accumulation_steps={self.smaller[1]}, which gives the same weights"
            )
        super().__init__(f"out of memory in training ({first_line(error, 120)}); {remedy}")


def smaller(size: int, accumulation: int) -> tuple[int, int] | None:
    """The next smaller micro-batch of the same global batch, as (size, accumulation); None below one row."""
    return split_batch(size * accumulation, lambda micro: micro < size) if size > 1 else None


def split_batch(rows: int, fits: Callable[[int], bool]) -> tuple[int, int]:
    """(micro-batch, accumulation) whose product is `rows`: the largest micro-batch that `fits`, or 1 if none does.

    >>> split_batch(48, lambda micro: micro <= 20)
    (16, 3)
    """
    micro = next((size for size in range(rows, 1, -1) if rows % size == 0 and fits(size)), 1)
    return micro, rows // micro


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, Exception) and should_reduce_batch_size(error)
    )


@contextlib.contextmanager
def watched(arguments: TrainingArguments) -> Iterator[None]:
    """Raise TooLarge if memory runs out inside."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise TooLarge(arguments, error) from error
        raise
