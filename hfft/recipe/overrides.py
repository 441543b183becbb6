"""`section.key=value` overrides from the command line."""

from __future__ import annotations

from typing import Any

from hfft.recipe import yaml_lines


def apply_override(values: dict[str, Any], override: str) -> tuple[yaml_lines.Path, str | None]:
    """Set `section.key=value` in `values`; returns the path that was set and what was wrong with it."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        return (), f"{override!r} is not an override; write section.key=value"
    try:
        value, _ = yaml_lines.parse(text)
    except yaml_lines.DocumentError as error:
        return path, f"{key}: {error}"
    target = values
    for part in path[:-1]:
        inside = target.get(part)
        if not isinstance(inside, dict | None):
            return path, f"{key}: {part} is a plain value, not a section"
        target[part] = {**(inside or {})}  # copied, because an anchor may use the same section in several places
        target = target[part]
    target[path[-1]] = value
    return path, None
