"""The last block of a training computes what is read of it: found out on the first batch, then in place for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import Trainer

from hfft.frozen_cache.cached_dataset import ROWS, STATE
from hfft.layers.last_block import FirstToken, first_token
from hfft.strategy.outputs import logits_of
from hfft.train.batches import NUM_OWN_ROWS, some_rows


class LastBlock:
    """How a Trainer runs the last block of its model.

    Args:
        wanted: False to compute all of it always.
        say: tells that less is computed.
    """

    def __init__(self, wanted: bool = True, say: Callable[[str], None] = lambda line: None):
        self.wanted, self.say = wanted, say
        self.found: FirstToken | None = None

    def reading(self, trainer: Trainer, inputs: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
        """A context in which the model computes only what is read of its last block.

        Args:
            inputs: a batch as the collator makes it.
        """
        if self.wanted and self.found is None and f"{STATE}0" not in inputs:  # of rows kept before, a later batch tells
            self._look(trainer, inputs)
            if self.found is not None:
                self.say(self.describe())
        return self.place(trainer.model)

    def place(self, model: nn.Module) -> contextlib.AbstractContextManager[None]:
        """The same, where it has been looked for."""
        return contextlib.nullcontext() if self.found is None else self.found.reading(model)

    def describe_ahead(self, trainer: Trainer) -> str:
        """What a training would tell of it; looked for on a few rows, as it will be on the first batch."""
        if self.wanted:
            self._look(trainer, trainer.data_collator(some_rows(trainer.train_dataset, 4)))
        return self.describe()

    def describe(self) -> str:
        """What of the last block is computed, in words."""
        if self.found is None:
            return "last block: computed whole"
        return f"last block: queries, attention and MLP of {self.found.block} for the first token alone, which the head reads"

    def _look(self, trainer: Trainer, inputs: Mapping[str, Any]) -> None:
        args = trainer.args
        if not (args.torch_compile or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
            prepared = trainer._prepare_inputs(dict(inputs))
            other = {"labels", NUM_OWN_ROWS, ROWS}
            batch = {n: t for n, t in prepared.items() if isinstance(t, Tensor) and n not in other}
            self.found = first_token(trainer.model, batch, logits_of)
        self.wanted = self.found is not None
