"""Text for messages: suggestions, lists, and others' text made fit for one line of a terminal."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word closest to `word`, or an empty string."""
    known = [str(k) for k in known]
    lowered = {k.lower(): k for k in known}
    found = difflib.get_close_matches(str(word).lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean '{printable(lowered[found[0]])}'?" if found else ""


def nearest_path(pattern: str, paths: Iterable[str]) -> str:
    """`nearest` for a piece of a dotted path, compared with all sections of the paths that have as many parts."""
    words = [word for word in re.split(r"\W+", pattern) if word]
    parts = [path.split(".") for path in paths]
    size = len(words)
    return nearest(
        ".".join(words), sorted({".".join(p[i : i + size]) for p in parts for i in range(len(p) - size + 1)})
    )


def listing(names: Iterable[object], limit: int = 12) -> str:
    """`a, b, c`, with a count of the rest beyond `limit`."""
    shown = [printable(str(n)) for n in names]
    more = f", … ({len(shown) - limit} more)" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def counted(number: float, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:.10g} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, limit: int = 800) -> str:
    """`text`, with its middle cut out if it is too long: a recipe may contain words of any length."""
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"


def printable(text: str) -> str:
    """`text` on one line of a terminal: line ends and control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def block(lines: Iterable[str]) -> str:
    """Lines of a terminal as one text; a line end within one of them is escaped."""
    return "\n".join(map(printable, lines))


def first_line(error: BaseException, limit: int = 300) -> str:
    """The first line of an exception's message, or its class name: messages of other libraries can run to pages."""
    text = str(error).strip()
    return (text.splitlines()[0][:limit] if text else "") or type(error).__name__


def size_in_bytes(text: str) -> int:
    """`20GB` or `500 MB` as a number of bytes.

    Raises:
        ValueError: it is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B", text.strip(), re.IGNORECASE)
    if not found or float(found[1]) == 0:
        raise ValueError(f"is {text!r}; expected a size such as 20GB or 500MB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def human(size: float) -> str:
    """A number of bytes in a readable unit."""
    for unit in ("T", "G", "M", "K"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.3g} {unit}B"
    return f"{size:.0f} B"
