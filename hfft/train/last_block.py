"""The last block of a training computes what is read of it: found out on the first batch, then in place for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from transformers import Trainer

from hfft.layers.last_block import FirstToken, first_token
from hfft.strategy.losses import logits_of
from hfft.train.kept import ROWS, STATE


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
        if self.wanted and self.found is None:
            self.wanted = self._find(trainer, inputs)
        return contextlib.nullcontext() if self.found is None else self.found.reading(trainer.model)

    def _find(self, trainer: Trainer, inputs: Mapping[str, Any]) -> bool:
        args = trainer.args
        if args.torch_compile or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled or f"{STATE}0" in inputs:
            return f"{STATE}0" in inputs  # rows kept by an earlier run: the next batch that is whole will tell
        prepared = trainer._prepare_inputs(dict(inputs))
        other = {"labels", "own_rows", ROWS}
        batch = {n: t for n, t in prepared.items() if isinstance(t, Tensor) and n not in other}
        self.found = first_token(trainer.model, batch, logits_of)
        if self.found is not None:
            self.say(
                f"last block: queries, attention and MLP of {self.found.block} for the first token alone, which the head reads"
            )
        return self.found is not None
