"""The grammar of `data.augment`: a list of ops by name, with their arguments, made into one function."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from numpy.random import Generator
from PIL import Image

from hfft.data.augment.image_ops import (
    color_jitter,
    horizontal_flip,
    rand_augment,
    random_crop,
    random_erasing,
    random_grayscale,
    random_resized_crop,
    random_rotation,
    trivial_augment,
    vertical_flip,
)
from hfft.wording import nearest

OPS: dict[str, Callable[..., Image.Image]] = {
    op.__name__: op
    for op in (
        random_crop,
        horizontal_flip,
        vertical_flip,
        random_resized_crop,
        color_jitter,
        random_rotation,
        random_grayscale,
        random_erasing,
        rand_augment,
        trivial_augment,
    )
}


@dataclass(frozen=True)
class Compose:
    """Ops in order as one picklable callable; `steps` is what `parse` returns."""

    steps: tuple[tuple[str, dict[str, Any]], ...]

    def __call__(self, image: Image.Image, rng: Generator) -> Image.Image:
        """The augmented image; ValueError where its mode is neither RGB nor L."""
        if image.mode not in ("RGB", "L"):
            raise ValueError(f"image mode '{image.mode}' cannot be augmented; convert it to 'RGB' or 'L' first")
        for name, arguments in self.steps:
            image = OPS[name](image, rng, **arguments)
        return image


def compose(spec: list) -> Compose:
    """The ops of a recipe's `augment` list as one `(image, rng) -> image`; ValueError as in `parse`."""
    return Compose(tuple(parse(spec)))


def parse(spec: list) -> list[tuple[str, dict[str, Any]]]:
    """Check a recipe's `augment` list; return (op name, the arguments given) in order, lists turned into tuples.

    An item is a name or `{name: {argument: value}}`. ValueError, in one line, for an unknown op or argument, a missing
    argument, and a value of the wrong type or out of range.
    """
    if not isinstance(spec, list | tuple):
        raise ValueError(f"augment = {spec!r}; must be a list such as [random_crop, horizontal_flip]")
    return [_parse_item(item) for item in spec]


def _parse_item(item: Any) -> tuple[str, dict[str, Any]]:
    entries: dict[Any, Any] = item if isinstance(item, dict) else {item: None} if isinstance(item, str) else {}
    name, given = next(iter(entries.items()), ("", None))
    if len(entries) != 1 or not isinstance(given, dict | None):
        raise ValueError(
            f"augment item {item!r}; must be a name or {{name: {{argument: value}}}}, with the arguments "
            "indented under the name"
        )
    given = given or {}
    _check_known([name], OPS, "unknown augmentation")
    parameters = dict(list(inspect.signature(OPS[name]).parameters.items())[2:])
    _check_known(given, parameters, f"{name}: unknown argument")
    values = {key: parameter.default for key, parameter in parameters.items()} | given
    for key, value in values.items():
        try:
            values[key] = _convert(value, parameters[key].annotation)
        except ValueError:
            problem = f"missing '{key}', it" if value is inspect.Parameter.empty else f"{key} = {value!r};"
            raise ValueError(f"{name}: {problem} must be {_describe(parameters[key].annotation)}") from None
    if values.get("magnitude", 0) >= values.get("num_magnitude_bins", inf):
        raise ValueError(
            f"{name}: magnitude = {values['magnitude']}; must be below num_magnitude_bins = "
            f"{values['num_magnitude_bins']}"
        )
    return name, {key: values[key] for key in given}


def _check_known(names: Any, known: dict[str, Any], problem: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{problem} {name!r}{nearest(name, known) or ';'} known: {', '.join(known)}")


def _convert(value: Any, hint: Any) -> Any:
    """The value as its annotation wants it, a list as a tuple; ValueError where it does not fit."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for option in args:
            with suppress(ValueError):
                return _convert(value, option)
    elif origin is Annotated:
        value = _convert(value, args[0])
        first, last = value if isinstance(value, tuple) else (value, value)
        if args[1] <= first <= last <= args[2]:
            return value
    elif origin is tuple and isinstance(value, list | tuple) and len(value) == len(args):
        return tuple(map(_convert, value, args))
    elif hint in (int, float):
        # To Python a bool is an int, but in a recipe `p: true` or `size: yes` is a slip.
        if isinstance(value, (int, hint)) and not isinstance(value, bool) and abs(value) < inf:
            return value
    elif (origin is Literal and value in args) or (hint is NoneType and value is None):
        return value
    raise ValueError(value)


def _describe(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        _, low, high = args
        kind = "an ordered pair" if get_origin(args[0]) is tuple else _describe(args[0])
        return f"{kind} in {'[' if low > -inf else '('}{low:g}, {high:g}{']' if high < inf else ')'}"
    if origin in (Union, UnionType):
        return " or ".join(map(_describe, args))
    if origin is tuple:
        return f"a list of {len(args)}, each {_describe(args[0])}"
    if origin is Literal:
        return " or ".join(map(repr, args))
    return {int: "an integer", float: "a number", NoneType: "null"}[hint]
