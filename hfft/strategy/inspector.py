"""What methods may ask about the model and the rows before and during training; `hfft.train.inspector` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import nn


class Inspector(Protocol):
    """Answers for one training.

    Attributes:
        blocks: number of the model's blocks.
    """

    blocks: int

    def inputs_of(self, rows: Sequence[int], of: str | None = None) -> dict[str, Any]:
        """The model's inputs for some training rows, or rows of a set in `data.sets`, on the device, with their `labels`."""

    def outputs_of(self, model: nn.Module) -> Any:
        """`logits` `(N, C)`, `features` `(N, D)` and `labels` of all training rows in order, of a model in `eval()`.

        Where the frozen cache shows several views of each row, those of the first view of all rows come first: `setting.place`.
        """

    def reader(self, model: nn.Module, features: bool = False, states: Sequence[int] = ()) -> Any:
        """Captures what `Pass` contains: inside `reader.on()`, `reader.take()` gives features and states of the last pass."""

    def block(self, model: nn.Module, depth: int) -> nn.Module:
        """The block at a depth; negative ones count from the head."""

    def source_head(self) -> nn.Linear:
        """The classifier with which the backbone was published, on the features that `Pass` has: `(b, D)` -> its logits.

        Raises:
            BadInput: there is none, or it does not fit the model; the message has the reason and the remedy.
        """

    def rates(self) -> Mapping[str, float]:
        """The learning rate of each parameter in the current step, by name."""
