"""Translate pydantic's errors into messages about a recipe."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from hfft.recipe.training_arguments import REMOVED, training_arguments
from hfft.recipe.yaml_lines import Path
from hfft.wording import listing, nearest


def explain(error: ValidationError, model: type[BaseModel], values: Any) -> list[tuple[Path, str]]:
    """Path and message of each mistake that pydantic found in `values`.

    Pydantic reports every branch of a union that it tried. The branch that got deepest is taken as intended; branches
    that failed at the same place are merged into one message.
    """
    found = [_explain(item, model, values) for item in error.errors()]
    merged: dict[Path, str] = {}
    for path, text in found:
        if any(len(other) > len(path) and other[: len(path)] == path for other, _ in found):
            continue
        before, (_, expected, what) = merged.get(path), text.partition("; expected ")
        if before is None or not expected:
            merged[path] = text
        elif "did you mean" not in before:
            merged[path] = f"{before} or {what}"
    return list(merged.items())


def _explain(item: Any, model: type[BaseModel], values: Any) -> tuple[Path, str]:
    path: Path = ()
    for part in item["loc"]:  # also contains names of union branches; keep only keys that are in the recipe
        if (isinstance(values, dict) and part in values) or (isinstance(values, list) and isinstance(part, int)):
            path, values = (*path, part), values[part]
    kind, given = item["type"], f"is {item['input']!r:.80}"
    if kind == "extra_forbidden":
        known = _keys(path[:-1], model)
        hint = nearest(str(path[-1]), known) or (_elsewhere(str(path[-1]), model) if len(path) == 1 else "")
        return path, f"unknown key{hint} (known: {listing(known, 30)})"
    if kind == "missing":
        return (*path, item["loc"][-1]), "missing; every recipe needs it"
    if kind == "literal_error":
        choices = re.findall(r"'([^']+)'", item["ctx"]["expected"])
        return path, f"{given}; expected {item['ctx']['expected']}{nearest(str(item['input']), choices)}"
    if kind == "model_type":
        return path, f"{given}; expected a section with keys such as {listing(_keys(path, model), 3)}"
    if kind == "value_error":
        return path, str(item["ctx"]["error"])
    what = re.sub(r"^\w+ should (be|have|match)| or instance of \w+$", "", item["msg"]).strip()
    return path, f"{given}; expected {what}"


def _elsewhere(key: str, model: type[BaseModel]) -> str:
    """The sections that have a key which a recipe names at its top level, as a suggestion."""
    argument = REMOVED.get(key, key)
    trains = argument in training_arguments()
    places = [name for name in model.model_fields if key in _keys((name,), model)]
    found = [f"{name}.{key}" for name in places if not (trains and name == "classifier")]  # it shares learning_rate
    if trains:
        found.append(f"training.{argument}")
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _keys(path: Path, model: type[BaseModel]) -> list[str]:
    """The keys of the section at a path; none if there is no section."""
    section = _section(path, model)
    return [field.alias or name for name, field in section.model_fields.items()] if section else []


def _section(path: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """The section class at a path, whose fields are the known names."""
    found: Any = model
    named = False  # whether the next part is a name chosen in the recipe, such as that of a set
    for part in path:
        if named:
            named = False
            continue
        field = found.model_fields.get(part) if found else None
        named = field is not None and getattr(field.annotation, "__origin__", None) is dict
        options = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        found = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return found
