"""What a recipe says of part 2, the new task layer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hfft.spec import Spec


class Head(Spec):
    """Part 2: the new task layer. `new` names modules beside the head that start fresh, such as an untrained pooler.

    Attributes:
        kind: an own head in the place of the architecture's; `linear` where only `pooling` is given.
        pooling: how states of positions become one; padding left out.
        hidden: width of the hidden layer of `mlp`.
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
        """Whether the recipe asks for a head of its own."""
        return self.kind is not None or self.pooling is not None
