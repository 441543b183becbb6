"""How figures of a scorecard are written in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_interval(found: Mapping[str, Any]) -> str:
    """A figure and its interval: `0.9120 (0.8840 to 0.9340)`."""
    interval = f" ({found['low']:.4f} to {found['high']:.4f})" if "low" in found else ""
    return f"{found['value']:.4f}{interval}"
