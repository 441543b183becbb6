"""Compute only the part of the last block that the head reads: found on the first batch, then used for every batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from hfft.frozen_cache.cached_dataset import ROWS, STATE
from hfft.layers.last_block import FirstToken, first_token
from hfft.strategy.outputs import logits_of
from hfft.train.batches import NUM_OWN_ROWS, some_rows


class LastBlock:
    """How a Trainer runs the last block of its model.

    Args:
        wanted: False to always compute the whole block.
        say: called with a line if less is computed.
    """

    def __init__(self, wanted: bool = True, say: Callable[[str], None] = lambda line: None):
        self.wanted, self.say = wanted, say
        self.found: FirstToken | None = None

    def reading(self, trainer: Trainer, inputs: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
        """A context in which the model computes only the part of its last block that the head reads.

        Args:
            inputs: a batch as returned by the collator.
        """
        if self.wanted and self.found is None and f"{STATE}0" not in inputs:  # cached rows: use a later batch
            self._look(trainer, inputs)
            if self.found is not None:
                self.say(self.describe())
        return self.place(trainer.model)

    def place(self, model: nn.Module) -> contextlib.AbstractContextManager[None]:
        """The same context, without searching first."""
        return contextlib.nullcontext() if self.found is None else self.found.reading(model)

    def describe_ahead(self, trainer: Trainer) -> str:
        """The line that a training run would show; found on a few rows, as training finds it on the first batch."""
        if self.wanted:
            self._look(trainer, trainer.data_collator(some_rows(trainer.train_dataset, 4)))
        return self.describe()

    def describe(self) -> str:
        """Which part of the last block is computed, in words."""
        if self.found is None:
            return "last block: computed in full"
        return f"last block: queries, attention and MLP of {self.found.block} only for the first token, which the head reads"

    def _look(self, trainer: Trainer, inputs: Mapping[str, Any]) -> None:
        args = trainer.args
        whole = args.torch_compile or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled or reentrant(args)
        if not whole:
            prepared = trainer._prepare_inputs(dict(inputs))
            other = {"labels", NUM_OWN_ROWS, ROWS}
            batch = {n: t for n, t in prepared.items() if isinstance(t, Tensor) and n not in other}
            self.found = first_token(trainer.model, batch, logits_of)
        self.wanted = self.found is not None


def reentrant(args: TrainingArguments) -> bool:
    """Whether activation checkpointing runs a block's forward pass again outside the context that shortens the last one."""
    return any(
        getattr(args, f"{kind}_checkpointing", False)
        and (getattr(args, f"{kind}_checkpointing_kwargs", None) or {}).get("use_reentrant", False)
        for kind in ("gradient", "activation")
    )
