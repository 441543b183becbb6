"""Check that every name in `layers.adapter` exists in the model: PEFT ignores names that match nothing, or does not say which."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from transformers import PreTrainedModel

from hfft.errors import ModelError
from hfft.spec import as_list
from hfft.wording import listing, nearest_path

_Matches = Callable[[str, str], object]  # (entry, path) -> whether they match


def _ends(entry: str, path: str) -> bool:
    return path == entry or path.endswith(f".{entry}")


# Argument -> how PEFT reads an entry of its list; a string in place of a list is a pattern over full paths.
_MODULES: dict[str, _Matches] = {
    "target_modules": _ends,
    "exclude_modules": _ends,
    "feedforward_modules": _ends,
    "rank_pattern": lambda entry, path: re.match(rf"(.*\.)?({entry})$", path),
    "alpha_pattern": lambda entry, path: re.match(rf"(.*\.)?({entry})$", path),
}


def check_named(model: PreTrainedModel, given: dict[str, Any], head_names: set[str]) -> None:
    """Make sure that every module, parameter and block that an adapter's arguments name exists in the model.

    Raises:
        ModelError: one does not exist (the message suggests existing ones), or belongs to the head, which is trained in full.
    """
    kind = model.config.model_type
    paths = [path for path, _ in model.named_modules() if path]
    outside = [path for path in paths if not any(name.startswith(f"{path}.") for name in head_names)]
    leaves = [path for path in outside if list(model.get_submodule(path).parameters(recurse=False))]
    some = listing(dict.fromkeys(path.rpartition(".")[2] for path in leaves), 6)

    def check(key: str, entries: Iterable[Any], matches: _Matches, among: list[str], what: str = "module") -> None:
        for entry in map(str, entries):
            if any(_matching(matches, key, entry, path) for path in among):
                continue
            if what == "module" and any(matches(entry, path) for path in paths):
                raise ModelError(
                    f"layers.adapter.{key}: {entry!r} is in the head, which is trained in full; leave it out"
                )
            part = any(entry in path.split(".") for path in among)
            if part and matches is re.fullmatch:
                raise ModelError(
                    f"layers.adapter.{key}: {entry!r} matches no whole path; write {'.*' + entry!r}, or [{entry}] for a name"
                )
            near = "" if part else nearest_path(entry, among)
            known = some if what == "module" else listing(dict.fromkeys(_last_two(path) for path in among), 6)
            raise ModelError(f"layers.adapter.{key}: {kind} has no {what} {entry!r}{near} (such as: {known})")

    for key, matches in _MODULES.items():
        value = given.get(key)
        if isinstance(value, str) and value != "all-linear":
            check(key, [value], re.fullmatch, outside)
        elif value is not None and not isinstance(value, str):
            check(key, value, matches, outside)
    check("modules_to_save", given.get("modules_to_save") or [], lambda entry, path: path.endswith(entry), paths)
    parameters = [name for name, _ in model.named_parameters()]
    check("target_parameters", given.get("target_parameters") or [], _ends, parameters, "parameter")
    _check_numbers(given, outside)


def _last_two(path: str) -> str:
    return ".".join(path.split(".")[-2:])


def _matching(matches: _Matches, key: str, entry: str, path: str) -> object:
    try:
        return matches(entry, path)
    except re.error as error:
        raise ModelError(f"layers.adapter.{key}: {entry!r} is not a regular expression: {error}") from None


def _check_numbers(given: dict[str, Any], paths: list[str]) -> None:
    """Make sure that the blocks of `layers_to_transform`, counted from 0 within their list, exist."""
    wanted, lists = given.get("layers_to_transform"), as_list(given.get("layers_pattern")) or ["[^.]*"]
    if wanted is None:
        return
    found = {int(hit[1]) for path in paths for name in lists if (hit := re.match(rf".*\.{name}\.(\d+)\.", f".{path}"))}
    if not found:
        names = dict.fromkeys(hit[1] for path in paths if (hit := re.match(r"(?:.*\.)?([^.]+)\.\d+\.", path)))
        pattern = given.get("layers_pattern")
        raise ModelError(
            f"layers.adapter.layers_pattern: {pattern!r} matches no list of blocks (such as: {listing(names)})"
        )
    for number in [wanted] if isinstance(wanted, int) else wanted:
        if number not in found:
            raise ModelError(
                f"layers.adapter.layers_to_transform: there is no block {number}; blocks are numbered 0 to {max(found)}"
            )
