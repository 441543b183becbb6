"""What happens to a step whose loss or gradient is not finite: the run stops, or a bounded number of steps is left out."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from hfft.strategy.method import Method, MethodSpec

REMEDY = "let a few such steps be left out with strategy.non_finite={skip: 5}"


class NonFinite(MethodSpec):
    """`stop` at the first, or leave out the update of at most `skip` steps in a run."""

    skip: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "stop":
            raise ValueError(f"is {value!r}; expected stop, or {{skip: 5}}")
        return {} if value == "stop" else value

    def plain(self) -> Any:
        """`stop`, or how many may be left out."""
        return {"skip": self.skip} if self.skip else "stop"

    def build(self) -> Method | None:
        """None where the run stops."""
        return LeftOut(self) if self.skip else None


class LeftOut(Method):
    """Leaves steps out."""

    def __init__(self, spec: NonFinite):
        self.spec, self.skips = spec, spec.skip
