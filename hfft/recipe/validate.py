"""From YAML text or a dictionary to a checked recipe: all mistakes together, each with file, line, constraint, suggestion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hfft.errors import RecipeError
from hfft.recipe import yaml_lines
from hfft.recipe.checks import cross_checks
from hfft.recipe.explain import explain
from hfft.recipe.overrides import apply_override
from hfft.recipe.several_tasks import spread, without_spread
from hfft.recipe.uses import needs, unread
from hfft.spec import Spec

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe

_LAST = 10**9


def validated(
    model: type[Recipe], given: str | Mapping[str, Any], source: str, name: str, overrides: tuple[str, ...] = ()
) -> Recipe:
    """The checked recipe, a `model`, from YAML text, or from its sections as a dictionary.

    Each mistake starts with `source`, and for YAML with its line number.

    Raises:
        RecipeError: all mistakes together, one line each.
    """
    problems: list[tuple[int, str]] = []  # (line, message), sorted by line; the command line comes last
    lines: dict[yaml_lines.Path, int] = {}
    changed: set[yaml_lines.Path] = set()

    def say(path: yaml_lines.Path, what: str, line: int | None = None) -> None:
        at, known = path, line
        while at and known is None and at not in changed:
            known, at = lines.get(at), at[:-1]
        made = path not in lines and any(c[: len(path)] == path for c in changed)  # a section that an override created
        overridden = made or any(path[: len(c)] == c for c in changed)
        place = f"{source}:{known or 1}" if isinstance(given, str) else source
        where = "command line" if path and overridden else place
        order = _LAST if path and overridden else known or 1
        problems.append((order, f"{where}  {'.'.join(map(str, path))}{': ' if path else ''}{what}"))

    def refuse() -> RecipeError:
        return RecipeError(dict.fromkeys(text for _, text in sorted(problems, key=lambda problem: problem[0])))

    try:
        values, lines = yaml_lines.parse(given) if isinstance(given, str) else (plain(given), {})
    except yaml_lines.DocumentError as error:
        for problem in error.problems:
            say(problem.path, problem.text, problem.line)
        raise refuse() from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise RecipeError([f"{source}:1  expected sections such as task, backbone and data, not {found}"])
    if "study" in values and "recipe" in values:
        line = lines.get(("study",), 1)
        raise RecipeError(
            [f"{source}:{line}  study: this file describes a study of several runs; use hfft study {source}"]
        )
    for override in overrides:
        path, wrong = apply_override(values, override)
        if wrong:
            problems.append((_LAST, f"command line  {wrong}"))
        else:
            changed.add(path)
    # An empty section, such as `publish:`, means its default.
    values = {key: value for key, value in values.items() if value is not None or key not in model.model_fields}
    values.setdefault("name", re.sub(r"[^\w.-]+", "-", name).strip("-.") or "recipe")
    recipe, refused = None, list[tuple[yaml_lines.Path, str]]()
    try:
        recipe = model.model_validate(values)
    except ValidationError as error:
        refused += explain(error, model, spread(values))
    refused = without_spread(refused + cross_checks(values, recipe), values)
    refused += unread(values, [path for path, _ in refused])
    refused += needs(recipe.use, recipe.the_task) if recipe is not None else []
    for path, what in refused:
        say(path, what)
    if problems:
        raise refuse()
    assert recipe is not None
    return recipe


def plain(value: Any) -> Any:
    """A copy of nested values as YAML would give them: specs as sections, paths as texts, tuples as lists."""
    if isinstance(value, Spec):
        return value.plain()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value
