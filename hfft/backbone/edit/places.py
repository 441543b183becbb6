"""The places in a model that an edit names by path, pattern or `all`."""

from __future__ import annotations

import re

from torch import nn

from hfft.errors import ModelError
from hfft.modeling import INSERTED
from hfft.wording import listing, nearest


def matching(model: nn.Module, place: str) -> list[str]:
    """Paths of the modules that a place names: the path itself, or the outermost matches of a /regex/; never inserted modules.

    Raises:
        ModelError: no module matches.
    """
    paths = [path for path, _ in model.named_modules() if path and INSERTED not in path.split(".")]
    if place == "all":
        return [path for path in paths if "." not in path]
    if not place.startswith("/"):
        if place in paths:
            return [place]
        ends = [path for path in paths if path.endswith(f".{place}")]
        near = f"; did you mean {listing(ends, 2)}?" if ends else nearest(place, paths)
        raise ModelError(f"backbone.edit: there is no module {place!r}{near} (such as: {listing(_some(paths), 5)})")
    found: list[str] = []
    for path in paths:
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if not inside and re.search(place.strip("/"), path):
            found.append(path)
    if not found:
        word, parts = re.sub(r"\W+", ".", place).strip("."), {part for path in paths for part in path.split(".")}
        near = nearest(word, [*paths, *sorted(parts)])
        raise ModelError(f"backbone.edit: {place} matches no module{near} (such as: {listing(_some(paths), 5)})")
    return found


def _some(paths: list[str]) -> list[str]:
    """A few paths of different depths."""
    return list({path.count("."): path for path in paths}.values())
