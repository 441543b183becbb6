"""The grammar of `backbone.edit`: what can be removed, replaced, inserted and changed, checked without torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hfft.spec import check_pattern
from hfft.wording import listing, nearest

# Kind of edit -> the key that goes with it.
KINDS: dict[str, str | None] = {
    "remove": None,
    "replace": "with",
    "insert": "module",
    "image_size": None,
    "channels": None,
    "tokens": None,
}
NORMS = ("layer_norm", "rms_norm", "batch_norm", "group_norm", "none")
_IMAGES_ONLY = {
    "squeeze_excite": "averages over positions, padding too",
    "conv": "reads neighbouring positions, padding too",
    "prompt": "puts in tokens that the attention mask knows nothing of",
}


def _whole(least: int) -> Callable[[Any], str | None]:
    return lambda v: None if type(v) is int and v >= least else f"expected a whole number of at least {least}"


def _share(value: Any) -> str | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if number and 0 <= value < 1 else "expected a number from 0 to below 1"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "expected a name"


def _one_of(*choices: str) -> Callable[[Any], str | None]:
    return lambda v: None if v in choices else f"expected {' or '.join(choices)}{nearest(str(v), choices)}"


def _odd(value: Any) -> str | None:
    return None if type(value) is int and value > 0 and value % 2 else "expected an odd whole number"


_Checks = dict[str, Callable[[Any], str | None]]
_WIDTH: _Checks = {"reduction": _whole(1), "size": _whole(1)}
# What can be inserted, with the arguments of each.
MODULES: dict[str, _Checks] = {
    "bottleneck": {**_WIDTH, "activation": _text},
    "squeeze_excite": _WIDTH,
    "conv": {"kernel_size": _odd},
    "linear": {},
    "dropout": {"p": _share},
    "prompt": {"tokens": _whole(1), "deep": lambda v: None if isinstance(v, bool) else "expected true or false"},
}
# What can take another's place.
WITH: _Checks = {
    "activation": _text,
    "dropout": _share,
    "norm": _one_of(*NORMS),
    "pooling": _one_of("avg", "max"),
    "attn_implementation": _text,
}


def check_edit(edit: dict[str, Any]) -> dict[str, Any]:
    """The edit itself, if it is one.

    Raises:
        ValueError: in the words of a recipe, with a suggestion.
    """
    kind = next((key for key in edit if key in KINDS), None)
    if kind is None:
        given = str(next(iter(edit), "empty"))
        raise ValueError(f"is {given!r}; expected one of {listing(KINDS)}{nearest(given, KINDS)}")
    beside = KINDS[kind]
    known = [key for key in (kind, beside) if key]
    for key in edit:
        if key not in known:
            raise ValueError(f"{kind} takes no {key!r}{nearest(str(key), known)} (known: {listing(known)})")
    if beside and not isinstance(edit.get(beside), dict):
        example = "module: {type: bottleneck}" if kind == "insert" else "with: {activation: gelu}"
        raise ValueError(f"{kind} needs {beside}, such as {{{kind}: …, {example}}}")
    _VALUES[kind](edit[kind])
    if kind == "insert":
        _arguments(edit["module"])
    if kind == "replace":
        if not edit["with"]:
            raise ValueError(f"replace: with is empty; expected one of {listing(WITH)}")
        _known(edit["with"], WITH, "with")
    return edit


def _arguments(module: dict[str, Any]) -> None:
    given = module.get("type")
    if given not in MODULES:
        raise ValueError(f"module.type is {given!r}; expected {listing(MODULES)}{nearest(str(given), MODULES)}")
    arguments = {key: value for key, value in module.items() if key != "type"}
    _known(arguments, MODULES[given], f"module {given}:")
    if {"size", "reduction"} <= set(arguments):
        raise ValueError(f"module {given}: give size or reduction, not both")


def _known(values: dict[str, Any], checks: _Checks, where: str) -> None:
    for key, value in values.items():
        if key not in checks:
            takes = f"known: {listing(checks)}" if checks else "it takes none"
            raise ValueError(f"{where} has no argument {key!r}{nearest(str(key), checks)} ({takes})")
        if wrong := checks[key](value):
            raise ValueError(f"{where} {key} is {value!r}; {wrong}")


def _remove(value: Any) -> None:
    if isinstance(value, str) and re.fullmatch(r"(first|last)-[1-9]\d*", value):
        return
    if isinstance(value, list) and value and all(type(i) is int and i >= 1 for i in value):
        return
    raise ValueError(f"remove is {value!r}; expected last-N or first-N such as last-2, or block numbers such as [3, 5]")


def _place(value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"is {value!r}; expected the path of a module, /regex/ over paths, or all")
    check_pattern(value)


def _image_size(value: Any) -> None:
    sides = value if isinstance(value, list) and len(value) == 2 else [value]
    if not all(type(side) is int and side >= 8 for side in sides):
        raise ValueError(f"image_size is {value!r}; expected a side in pixels such as 96, or [height, width]")


def _channels(value: Any) -> None:
    if type(value) is not int or value not in (1, 3, 4):
        raise ValueError(f"channels is {value!r}; expected 1 (grey), 3 (RGB) or 4 (RGBA)")


def _tokens(value: Any) -> None:
    if not isinstance(value, list) or not value or not all(isinstance(token, str) and token for token in value):
        raise ValueError(f'tokens is {value!r}; expected a list such as ["[X]"]')


_VALUES: dict[str, Callable[[Any], None]] = {
    "remove": _remove,
    "replace": _place,
    "insert": _place,
    "image_size": _image_size,
    "channels": _channels,
    "tokens": _tokens,
}


def misfit(edit: dict[str, Any], modality: str) -> str | None:
    """Why an edit does not go with the task's inputs, or None."""
    kind = next(key for key in edit if key in KINDS)
    if modality == "image":
        return "tokens are for texts; the task reads images" if kind == "tokens" else None
    if kind in ("image_size", "channels"):
        return f"{kind} is for images; the task reads texts"
    given = edit["module"]["type"] if kind == "insert" else None
    return f"{given} {_IMAGES_ONLY[given]}: it is for images" if given in _IMAGES_ONLY else None


def describe(edit: dict[str, Any]) -> str:
    """The edit in one short line."""
    return ", ".join(f"{key} {_plain(value)}" for key, value in edit.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{v}" if k == "type" else f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
