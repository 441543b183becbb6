"""What happens after a step whose loss or gradient is not finite: the run stops, or a limited number of steps is skipped."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from hfft.strategy.method import Method, MethodSpec

REMEDY = "skip a few such steps with strategy.non_finite={skip: 5}"


class NonFinite(MethodSpec):
    """`stop` at the first such step, or skip the update of at most `skip` steps per run."""

    skip: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "stop":
            raise ValueError(f"is {value!r}; expected stop, or {{skip: 5}}")
        return {} if value == "stop" else value

    def plain(self) -> Any:
        """`stop`, or the number of steps that may be skipped."""
        return {"skip": self.skip} if self.skip else "stop"

    def build(self) -> Method | None:
        """The method; None if the run should stop."""
        return LeftOut(self) if self.skip else None


class LeftOut(Method):
    """Skips steps that are not finite."""

    def __init__(self, spec: NonFinite):
        self.spec, self.skips = spec, spec.skip
