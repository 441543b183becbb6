"""Readable formatting of numbers."""

from collections.abc import Mapping
from typing import Any


def number(value: float | None) -> str:
    """Four decimals and grouped thousands, or powers of ten for very small or large floats; a dash for None."""
    if value is None or value == 0:
        return "–" if value is None else "0"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}" if 1e-3 <= abs(value) < 1e6 else f"{value:.2e}"


def interval(found: Mapping[str, Any]) -> str:
    """The interval of a figure, as in `0.8840 to 0.9340`; a dash without one."""
    return f"{number(found['low'])} to {number(found['high'])}" if "low" in found else "–"


def with_interval(found: Mapping[str, Any] | float | None) -> str:
    """A figure with its interval: `0.9120 (0.8840 to 0.9340)`; a dash for None."""
    if not isinstance(found, Mapping):
        return number(found)
    return number(found["value"]) + (f" ({interval(found)})" if "low" in found else "")


def percent(share: float | None) -> str:
    """A share in per cent with one decimal; a dash for None."""
    return "–" if share is None else f"{share:.1%}"
