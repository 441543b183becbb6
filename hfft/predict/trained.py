"""How a model was trained: the recipe and the metrics in its run folder, or published with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hfft.data.columns import OURS
from hfft.data.predicted import Reading, to_stderr
from hfft.data.spec import Data
from hfft.errors import BadInput, HubError
from hfft.hub.client import arrived
from hfft.hub.errors import reading
from hfft.recipe import Recipe, load_recipe, yaml_lines
from hfft.recipe.overrides import apply_override
from hfft.runs.tasks import run_of
from hfft.wording import first_line, listing

RENAMED = [f"{name}_" for name in OURS]  # by `columns.apart`
READ = (
    "columns",
    "sep",
    "encoding",
    "quoting",
    "missing",
    "field",
    "render",
)  # keys of `data` that say how its files are read


def published_file(source: str, name: str) -> Path | None:
    """A file in a run folder or model folder, or of a hub repository; None if it is not there.

    Raises:
        BadInput, HubError: there is no such repository, or it cannot be reached.
    """
    folder = Path(source)
    if folder.is_dir():
        path = folder / name
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    with reading(f"the {Path(name).stem} of {source}", source):
        try:
            return Path(arrived("model", source, lambda again: hf_hub_download(source, name)))
        except RemoteEntryNotFoundError:
            return None


def recipe_of(source: str, overrides: list[str]) -> Recipe:
    """The recipe of a run, or the one published with a model.

    Raises:
        BadInput: there is no recipe.
    """
    run_of(source, None)  # refuses a run of several tasks
    path = published_file(source, "recipe.yaml")
    if path is None:
        raise BadInput(f"{source} contains no recipe.yaml; give a run folder, or a model that hfft published")
    return load_recipe(path, *overrides)


def reading_of(source: str) -> Reading:
    """How a model's run read its data; without a recipe, by the usual names.

    Raises:
        BadInput: the recipe is damaged.
    """
    try:
        path, known = published_file(source, "recipe.yaml"), published_file(source, "metrics.json")
    except HubError as error:  # the model itself was in the cache
        to_stderr(f"{error}; columns are found by their usual names")
        return Reading()
    if path is None:
        return Reading()
    try:
        section = yaml_lines.parse(path.read_text(encoding="utf-8"))[0]["data"]
        options = {key: section[key] for key in READ if key in Data.model_fields and section.get(key) is not None}
        options = Data.model_validate({**options, "path": "-"}).model_dump(include=set(options))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml_lines.DocumentError) as error:
        raise BadInput(
            f"{path} is not a recipe ({first_line(error)}); restore it, or predict with the model folder"
        ) from None
    named = {role: column for role, column in (options.get("columns") or {}).items() if column is not None}
    return Reading(options, {role: name for role, name in {**_found(known), **named}.items() if role != "label"})


def label_of(source: str) -> str | None:
    """The column of labels that a model's recipe names; None if it names none, or several."""
    with contextlib.suppress(
        HubError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml_lines.DocumentError
    ):
        path = published_file(source, "recipe.yaml") if Path(source).is_dir() else None
        if path is not None:
            named = yaml_lines.parse(path.read_text(encoding="utf-8"))[0]["data"].get("columns", {}).get("label")
            return named if isinstance(named, str) and not named.startswith("/") else None
    return None


def stated(given: Iterable[str]) -> dict[str, Any]:
    """The keys of a data section that a command line states, as `encoding=cp1252` or `data.encoding=cp1252`.

    Raises:
        BadInput: one is not such a key, or its value is none of it.
    """
    known = [key for key in READ if key != "columns"]
    values: dict[str, Any] = {"data": {"path": "-"}}
    for text in given:
        name = text.partition("=")[0].removeprefix("data.")
        wrong = None if name in known and "=" in text else f"expected KEY=VALUE, with a key such as {listing(known)}"
        if wrong is None:
            _, wrong = apply_override(values, f"data.{text.removeprefix('data.')}")
        if wrong is None:
            try:
                Data.model_validate(values["data"])
            except ValidationError as error:
                wrong = error.errors()[0]["msg"]
        if wrong is not None:
            raise BadInput(f"--read {text}: {wrong}")
    return {key: value for key, value in values["data"].items() if key != "path"}


def _found(metrics: Path | None) -> dict[str, str]:
    """Role -> column that a finished run found for it."""
    columns: dict[str, str] = {}
    if metrics is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # earlier versions did not note them
            columns = dict(json.loads(metrics.read_text(encoding="utf-8"))["data"]["columns"])
    # an input column of a name that hfft adds was renamed
    return {role: name[:-1] if name in RENAMED else name for role, name in columns.items() if isinstance(name, str)}
