"""`section.key=value` overrides from the command line."""

from __future__ import annotations

from typing import Any

from hfft.recipe import yaml_lines


def apply_override(values: dict[str, Any], override: str) -> tuple[yaml_lines.Path, str | None]:
    """Set `section.key=value` in `values`; returns the path that was set and what was wrong with it.

    An entry of a list is named by its number, from 0, or by its `name`: `tasks.coarse.weight=2`.
    """
    key, equals, text = override.partition("=")
    parts = tuple(key.strip().split("."))
    if not equals or not all(parts):
        return (), f"{override!r} is not an override; write section.key=value"
    try:
        value, _ = yaml_lines.parse(text)
    except yaml_lines.DocumentError as error:
        return parts, f"{key}: {error}"
    target: Any = values
    path: yaml_lines.Path = ()
    for part in parts[:-1]:
        place = _place(target, part)
        if place is None:
            return parts, f"{key}: there is no entry {part!r} in {'.'.join(map(str, path))}"
        inside = target[int(place)] if isinstance(target, list) else target.get(place)
        if not isinstance(inside, dict | list | None):
            return parts, f"{key}: {part} is a plain value, not a section"
        # copied, because an anchor may use the same section in several places
        target[place] = [*inside] if isinstance(inside, list) else {**(inside or {})}
        target, path = target[place], (*path, place)
    place = _place(target, parts[-1])
    if place is None:
        return parts, f"{key}: there is no entry {parts[-1]!r} in {'.'.join(map(str, path))}"
    target[place] = value
    return (*path, place), None


def _place(target: Any, part: str) -> str | int | None:
    """The key of a section, or the number of a list's entry; None if the list has no such entry."""
    if not isinstance(target, list):
        return part
    named = [i for i, entry in enumerate(target) if isinstance(entry, dict) and entry.get("name") == part]
    number = int(part) if part.isdecimal() else -1
    return named[0] if named else number if 0 <= number < len(target) else None
