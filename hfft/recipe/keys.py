"""Every key of a recipe, as tables made from the specs: `python -m hfft.recipe.keys` prints recipes/README.md."""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any, Literal

from hfft.recipe.recipe import Recipe
from hfft.recipe.training_keys import TrainingKeys
from hfft.spec import Spec

HEAD = """# Keys of a recipe

A recipe is a YAML file with these sections; `task`, `backbone.name` and `data.path` are required. `hfft show RECIPE` prints a
recipe with all its defaults, and any key can be set on the command line, as in
`hfft train RECIPE training.learning_rate=1e-4`. A method of `strategy` with one main key can be given as its value
(`focal: 2.0`). This page is made from the specs by `python -m hfft.recipe.keys > recipes/README.md`.
"""


def page() -> str:
    """The page about all keys."""
    first = {name: field for name, field in Recipe.model_fields.items() if not _specs(field.annotation)}
    places: dict[type[Spec], str] = {}
    parts = [HEAD, _table("", first, _described(Recipe), places)]
    for name, field in Recipe.model_fields.items():
        for spec in [TrainingKeys] if name == "training" else _specs(field.annotation):
            parts += _section(name, spec, places)
    return "\n".join(parts).rstrip() + "\n"


def _section(path: str, spec: type[Spec], places: dict[type[Spec], str]) -> Iterator[str]:
    """The heading, the summary and the table of a section, then those of the sections in it; each once, at its first place."""
    places[spec] = path
    summary, described = _summary(spec), _described(spec)
    yield f"\n{'#' * (path.replace('.NAME', '').count('.') + 2)} `{path}`\n"
    if summary:
        yield f"{summary}\n"
    if spec.model_fields:
        yield _table(f"{path}.", spec.model_fields, described, places)
    for name, field in spec.model_fields.items():
        for inner in _specs(field.annotation):
            place = f".{name}" if field.alias is None else f".{field.alias}"
            holder = ".NAME" if "dict" in str(field.annotation) else ""
            if inner not in places:
                yield from _section(f"{path}{place}{holder}", inner, places)


def _table(prefix: str, fields: dict[str, Any], described: dict[str, str], places: dict[type[Spec], str]) -> str:
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for name, field in fields.items():
        key = field.alias or name
        kind, default = _kind(field.annotation), _default(field)
        specs = _specs(field.annotation)
        what = described.get(name) or next((_summary(spec) for spec in specs), "")
        if place := next((places[spec] for spec in specs if spec in places), None):
            what = f"{what.rstrip('.')}; sections as in `{place}`"
        rows.append(f"| `{prefix}{key}` | {_cell(kind)} | {_cell(default)} | {_cell(what)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, [], ()) or isinstance(value, Spec):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(annotation: Any) -> str:
    """A type in the words of YAML."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(args[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(arg) for arg in args if arg is not type(None)))
    if origin is list:
        return f"list of {_kind(args[0])}"
    if origin is dict:
        return f"mapping to {_kind(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return "section"
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "`true`, `false`",
        Any: "any value",
        dict: "mapping",
    }
    return plain.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _specs(annotation: Any) -> list[type[Spec]]:
    """The sections that an annotation contains."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [spec for arg in typing.get_args(annotation) for spec in _specs(arg)]


def _summary(spec: type[Spec]) -> str:
    """The docstring up to its list of attributes."""
    text = cleandoc(spec.__doc__ or "").partition("\nAttributes:")[0]
    return " ".join(text.split())


def _described(spec: type[Spec]) -> dict[str, str]:
    """Attribute -> its line in the docstring."""
    listed = cleandoc(spec.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for line in listed.splitlines():
        start = re.match(r"    (\w[\w, ]*): (.*)", line)
        if start:
            last = start[1].split(", ")
            found |= dict.fromkeys(last, start[2])
        elif line.startswith("        "):
            found |= {name: f"{found[name]} {line.strip()}" for name in last}
        elif line.strip() == "" and found:
            break
    return found


if __name__ == "__main__":
    sys.stdout.write(page())
