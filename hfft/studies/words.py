"""Values of options and axes on a command line: YAML, or several values of it between commas."""

from __future__ import annotations

from typing import Any

from hfft.errors import BadInput
from hfft.recipe import yaml_lines


def option_values(text: str) -> Any:
    """The value of an option: YAML, or a list of it where commas stand outside brackets and quotes.

    Raises:
        BadInput: it is not YAML.
    """
    parts = split_commas(text)
    try:
        found = [yaml_lines.parse(part)[0] for part in parts]
    except yaml_lines.DocumentError as error:
        raise BadInput(f"{text!r}: {error}") from None
    return found if len(found) > 1 else found[0]


def split_commas(text: str) -> list[str]:
    """`a,[b,c],{d: e,f: g}` as its three parts: commas in brackets and quotes belong to a value."""
    parts, depth, quote, start = [], 0, "", 0
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and not text[start:i].strip():  # an apostrophe inside a word is none
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part for part in (*parts, text[start:]) if part.strip()] or [text]
