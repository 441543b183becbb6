"""What a recipe says of scoring."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, field_validator

from hfft.spec import Spec
from hfft.tasks.measure import is_file
from hfft.tasks.problem import known_metrics
from hfft.wording import listing, nearest, size_in_bytes


def _metric(value: str) -> str:
    known = known_metrics()
    if value not in known and not is_file(value):
        raise ValueError(f"unknown metric {value!r}{nearest(value, known)} (known: {listing(known, 30)})")
    return value


class OutputsSpec(Spec):
    """Bytes that the outputs of one split may take, such as `500MB`."""

    limit: str = "2GB"

    @field_validator("limit")
    @classmethod
    def _size(cls, value: str) -> str:
        size_in_bytes(value)
        return value


class Score(Spec):
    """How the result is measured.

    Attributes:
        metrics: metrics of the problem, or .py files that hold one each.
        outputs: whether the model's answers to the held-out rows are kept in the run folder (`auto`: up to 2 GB a split).
        from_scratch: train the same recipe from random weights beside it.
    """

    metrics: list[Annotated[str, AfterValidator(_metric)]] = []
    outputs: Literal["auto", "off"] | OutputsSpec = "auto"
    from_scratch: bool = False

    @property
    def outputs_limit(self) -> int:
        """Bytes that the outputs of one split may take; 0 where none are kept."""
        if self.outputs == "off":
            return 0
        return size_in_bytes((OutputsSpec() if self.outputs == "auto" else self.outputs).limit)
