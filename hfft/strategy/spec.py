"""What a recipe says of part 4, the strategy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hfft.spec import Spec


class L2SP(Spec):
    """Pull towards the pretrained weights."""

    weight: float = Field(ge=0)


class NonFinite(Spec):
    """Leave out the update of a step whose loss or gradient is not finite, at most `skip` times in a run."""

    skip: int = Field(ge=1)


class Strategy(Spec):
    """Part 4: what is minimised beside the task loss, and what happens where it is not finite."""

    l2_sp: L2SP | None = None
    non_finite: Literal["stop"] | NonFinite = "stop"
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] | None = None
