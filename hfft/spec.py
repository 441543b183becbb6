"""The base of all specs: one section of a recipe as a frozen, checked model. Needs no torch."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """The base of all specs, the sections of a recipe: frozen, no unknown keys, values never converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())

    def plain(self) -> dict[str, Any]:
        """The section as plain values, as in a recipe; options that are not set are left out."""
        values = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        return {key: _plain(value) for key, value in values.items() if value is not None}

    def changed(self) -> list[str]:
        """The keys whose values are not the defaults."""
        fields = type(self).model_fields.items()
        return [name for name, field in fields if getattr(self, name) != field.get_default(call_default_factory=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.plain()
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def as_list(value: str | list[str] | None) -> list[str]:
    """One entry or several, as a list."""
    return [] if value is None else [value] if isinstance(value, str) else value


def all_finite(value: Any) -> Any:
    """The value itself; ValueError if it is a number that is not finite, or holds one."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        all_finite(inner)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"has the number {value}, which is not finite; write another")
    return value


def check_pattern(entry: str) -> str:
    """The entry itself; ValueError if it is an invalid `/regex/`. Anything else is not a pattern and passes."""
    if entry.startswith("/"):
        try:
            re.compile(entry.strip("/"))
        except re.error as error:
            raise ValueError(f"{entry} is not a regular expression: {error}") from None
    return entry
