"""From a command line or a YAML file to a study."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hfft.errors import BadInput, RecipeError
from hfft.recipe import load_recipe, recipes_folder, yaml_lines
from hfft.recipe.explain import explain
from hfft.studies.study import Study
from hfft.wording import listing, nearest

# The studies by name: module and class, imported when first used.
STUDIES: dict[str, tuple[str, str]] = {
    "adaptation": ("hfft.studies.adaptation", "Adaptation"),
    "seeds": ("hfft.studies.seeds", "Seeds"),
    "folds": ("hfft.studies.folds", "Folds"),
    "grid": ("hfft.studies.grid", "Grid"),
    "compare": ("hfft.studies.compare", "Compare"),
    "scratch": ("hfft.studies.scratch", "Scratch"),
    "rows": ("hfft.studies.rows", "Rows"),
    "layers": ("hfft.studies.layers", "Layers"),
    "few-shot": ("hfft.studies.few_shot", "FewShot"),
    "fine-grained": ("hfft.studies.fine_grained", "FineGrained"),
    "founding": ("hfft.studies.founding", "Founding"),
    "retention": ("hfft.studies.retention", "Retention"),
    "robustness": ("hfft.studies.robustness", "Robustness"),
    "federated": ("hfft.studies.federated", "Federated"),
    "incremental": ("hfft.studies.incremental", "Incremental"),
    "leave-one-domain-out": ("hfft.studies.leave_one_domain_out", "LeaveOneDomainOut"),
    "tasks": ("hfft.studies.several_tasks", "SeveralTasks"),
    "semi-supervised": ("hfft.studies.semi_supervised", "SemiSupervised"),
    "upstream": ("hfft.studies.upstream", "Upstream"),
}


def study_class(name: str) -> type[Study]:
    """The class of a study.

    Raises:
        BadInput: there is no such study.
    """
    if name not in STUDIES:
        raise BadInput(f"study {name!r} is unknown{nearest(name, STUDIES)} (studies: {listing(STUDIES, 30)})")
    module, found = STUDIES[name]
    return getattr(importlib.import_module(module), found)


def shipped() -> dict[str, Path]:
    """Name -> file of the studies shipped with the package (installed, or beside it in a checkout)."""
    return {path.stem: path for path in sorted(recipes_folder().glob("studies/*.yaml"))}


def make_study(
    name: str, recipe: str | Path | Mapping[str, Any] | None, overrides: Sequence[str] = (), **options: Any
) -> Study:
    """A study by its name.

    Args:
        recipe: what `load_recipe` takes; None for the study's own default.
        overrides: `section.key=value` for the base recipe.
        options: fields of the study.

    Raises:
        RecipeError: mistakes in the recipe or the options, one line each.
        BadInput: there is no such study or recipe.
    """
    return _checked(study_class(name), recipe, overrides, options, f"study {name}")


def load_study(file: str | Path, *overrides: str, **options: Any) -> Study:
    """The study of a YAML file or of a shipped one by its name: `study`, `recipe`, and the study's options.

    Args:
        overrides: `section.key=value` for the base recipe.
        options: fields of the study, which replace those of the file.

    Raises:
        RecipeError: mistakes in the file, one line each.
        BadInput: there is no such file.
    """
    path = shipped().get(str(file), Path(file))
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml_lines.parse(text)[0]
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text; save it as such") from None
    except OSError as error:
        raise BadInput(
            f"study {str(file)!r} is neither a study nor a file ({error.strerror}){nearest(str(file), [*STUDIES, *shipped()])}"
        ) from None
    except yaml_lines.DocumentError as error:
        raise RecipeError([f"{path}:{problem.line or 1}  {problem.text}" for problem in error.problems]) from None
    if not isinstance(values, dict) or "study" not in values:
        raise RecipeError([f"{path}:1  expected a study: keys study and recipe (studies: {listing(STUDIES, 30)})"])
    kind, recipe = study_class(str(values.pop("study"))), values.pop("recipe", None)
    if "arms" not in kind.model_fields:  # in the study.yaml of a folder: what the options come to
        values.pop("arms", None)
    given = values.pop("overrides", None) or {}
    if not isinstance(given, dict):
        raise RecipeError([f"{path}  overrides: is {given!r}; expected section.key: value"])
    words = [*_words(given), *overrides]
    return _checked(kind, recipe, words, {**values, **options}, str(path))


def _words(overrides: Mapping[str, Any]) -> list[str]:
    from hfft.studies.study import override_words

    return override_words(overrides)


def _checked(
    kind: type[Study],
    recipe: str | Path | Mapping[str, Any] | None,
    overrides: Sequence[str],
    options: Mapping[str, Any],
    source: str,
) -> Study:
    if recipe is None:
        recipe = getattr(kind, "default_recipe", None)
        if recipe is None:
            raise BadInput(f"{source}: needs a recipe; name one, such as digits")
    words, more = kind.from_words(overrides)
    base, options = load_recipe(recipe, *words), {**options, **more}
    try:
        return kind.model_validate({"recipe": base, **options})
    except ValidationError as error:
        found = [
            (_key(path), what.replace("every recipe", f"every {kind.name} study"))
            for path, what in explain(error, kind, options)
        ]
        problems = [f"{source}  {key}: {what}" for key, what in found]
        raise RecipeError(problems) from None


def _key(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path)) or "options"


_DESCRIBED = re.compile(r"^\s+([\w, ]+): (.+)$", re.MULTILINE)


def option_help(kind: type[Study]) -> dict[str, str]:
    """Option -> its line in the docstrings of the study and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for keys, text in _DESCRIBED.findall((base.__dict__.get("__doc__") or "").partition("Attributes:")[2]):
            found |= {key.strip(): text for key in keys.split(",")}
    return {name: found.get(name, "") for name in kind.model_fields if name not in ("recipe", "question")}
