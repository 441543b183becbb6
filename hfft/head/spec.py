"""The recipe section for part 2, the new task layer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hfft.spec import Spec


class Head(Spec):
    """Part 2: the new task layer.

    Attributes:
        kind: a head of hfft's in place of the architecture's; `linear` if only `pooling` is set.
        pooling: how the states of all positions, without padding, are reduced to one.
        hidden: width of the hidden layer for `mlp`.
        init: `zeros` starts from equal probabilities for all classes.
        dropout: dropout before the head, overriding the config's.
        keep_known: start from the checkpoint's own head for the classes that it knows by name.
        new: modules besides the head that start untrained, such as an untrained pooler.
    """

    kind: Literal["linear", "mlp", "cosine", "attention-pool"] | None = None
    pooling: Literal["cls", "mean", "max", "last"] | None = None
    hidden: int | None = Field(default=None, ge=1)
    init: Literal["default", "zeros"] = "default"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    keep_known: bool = False
    new: list[str] = []

    @property
    def own(self) -> bool:
        """Whether the recipe asks for one of hfft's own heads."""
        return self.kind is not None or self.pooling is not None
