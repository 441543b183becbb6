"""What methods may ask about the model and the rows before and during training; `hfft.train.inspector` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn


class Inspector(Protocol):
    """Answers for one training."""

    def inputs_of(self, rows: Sequence[int], of: str | None = None) -> dict[str, Any]:
        """The model's inputs for some training rows, or rows of a set in `data.sets`, on the device, with their `labels`."""

    def outputs_of(self, model: nn.Module) -> Any:
        """`logits` `(N, C)`, `features` `(N, D)` and `labels` of all training rows in order, of a model in `eval()`.

        Where the frozen cache shows several views of each row, those of the first view of all rows come first: `place`.
        """

    def kept_logits(self, model: nn.Module) -> Tensor:
        """The logits `(N, C)` of a model for all training rows and views; computed once, and kept in the cache's folder."""

    def place(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Where rows `(b,)` are, in the view of an epoch, in what `outputs_of` and `kept_logits` return."""

    def stored_logits(self, of: str) -> Sequence[Sequence[float]]:
        """The column `logits` of a set in `data.sets` with given labels: what a model answered when a row was stored.

        Raises:
            BadInput: it has no such column.
        """

    def sample(self) -> dict[str, Any]:
        """The inputs of two training rows, on the device."""

    def reader(self, model: nn.Module, features: bool = False, states: Sequence[int] = ()) -> Any:
        """Captures what `Pass` contains: inside `reader.on()`, `reader.take()` gives features and states of the last pass."""

    def blocks_of(self, model: nn.Module) -> list[nn.Module]:
        """The blocks of a model, or of the one inside a wrapper such as PEFT's or a teacher's, from the input to the head."""

    def last_layer(self, model: nn.Module) -> nn.Module:
        """The module of a model's head whose outputs are the logits."""

    def source_head(self) -> nn.Linear:
        """The classifier with which the backbone was published, on the features that `Pass` has: `(b, D)` -> its logits.

        Raises:
            BadInput: there is none, or it does not fit the model; the message has the reason and the remedy.
        """

    def rates(self) -> Mapping[str, float]:
        """The learning rate of each parameter in the current step, by name."""
