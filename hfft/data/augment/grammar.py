"""The grammar of `data.augment`: a list of ops by name, with their arguments, composed into one function."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from hfft.data.augment.image_ops import (
    augmix,
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
from hfft.data.augment.sound_ops import (
    add_noise,
    frequency_mask,
    gain,
    random_segment,
    time_mask,
    time_shift,
)
from hfft.data.augment.text_ops import (
    back_translation,
    keyboard_typos,
    random_case,
    random_insertion,
    span_cutoff,
    word_drop,
    word_swap,
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
        augmix,
    )
}
TEXT_OPS: dict[str, Callable[..., str]] = {
    op.__name__: op
    for op in (
        word_drop,
        word_swap,
        random_insertion,
        keyboard_typos,
        random_case,
        span_cutoff,
        back_translation,
    )
}
WAVE_OPS: dict[str, Callable[..., Any]] = {op.__name__: op for op in (random_segment, time_shift, gain, add_noise)}
SPECTROGRAM_OPS: dict[str, Callable[..., Any]] = {op.__name__: op for op in (time_mask, frequency_mask)}
OPS_OF: dict[str, Mapping[str, Callable[..., Any]]] = {  # by modality
    "image": OPS,
    "text": TEXT_OPS,
    "audio": {**WAVE_OPS, **SPECTROGRAM_OPS},
}
PLURAL = {"image": "images", "text": "texts", "audio": "sounds", "series": "series"}
_ALL: dict[str, Callable[..., Any]] = {name: op for ops in OPS_OF.values() for name, op in ops.items()}


@dataclass(frozen=True)
class Compose:
    """Ops in order as one picklable callable; `steps` is what `parse` returns."""

    steps: tuple[tuple[str, dict[str, Any]], ...]

    def __call__(self, image: Image.Image, rng: Generator) -> Image.Image:
        """The augmented image; ValueError unless its mode is RGB or L."""
        if image.mode not in ("RGB", "L"):
            raise ValueError(f"image mode '{image.mode}' cannot be augmented; convert it to 'RGB' or 'L' first")
        for name, arguments in self.steps:
            image = OPS[name](image, rng, **arguments)
        return image


@dataclass(frozen=True)
class ComposeTexts:
    """The same for texts: `(role -> text, rng, row) -> role -> text`."""

    steps: tuple[tuple[str, dict[str, Any]], ...]

    def __call__(self, texts: Mapping[str, str], rng: Generator, row: Mapping[str, Any]) -> dict[str, str]:
        """The augmented texts; those of a pair are augmented one after the other.

        Args:
            texts: role (`text`, `text_pair`) -> text.
            row: column -> value, for ops that read other columns.
        """
        found = dict(texts)
        for role in texts:
            for name, arguments in self.steps:
                if "column" not in arguments:
                    found[role] = TEXT_OPS[name](found[role], rng, **arguments)
                elif arguments.get("of", "text") == role:
                    found[role] = TEXT_OPS[name](found[role], rng, row, **arguments)
        return found


@dataclass(frozen=True)
class ComposeSounds:
    """The same for sounds: ops on the values, and those on the spectrogram that a processor makes of them."""

    steps: tuple[tuple[str, dict[str, Any]], ...]

    @property
    def on_spectrograms(self) -> list[str]:
        """The names of its ops on spectrograms."""
        return [name for name, _ in self.steps if name in SPECTROGRAM_OPS]

    def __call__(self, wave: np.ndarray, rng: Generator, rate: int) -> np.ndarray:
        """The augmented values `(T,)`.

        Args:
            rate: of the values, in Hz.
        """
        for name, arguments in self.steps:
            if name in WAVE_OPS:
                given = {**arguments, "rate": rate} if name == "random_segment" else arguments
                wave = WAVE_OPS[name](wave, rng, **given)
        return wave

    def masked(self, spectrogram: np.ndarray, rng: Generator) -> np.ndarray:
        """The augmented spectrogram `(frames, bins)`."""
        for name, arguments in self.steps:
            if name in SPECTROGRAM_OPS:
                spectrogram = SPECTROGRAM_OPS[name](spectrogram, rng, **arguments)
        return spectrogram


def columns_read(spec: list) -> list[str]:
    """The columns that the ops of an `augment` list read beside the inputs."""
    return list(dict.fromkeys(arguments["column"] for _, arguments in parse(spec) if "column" in arguments))


def compose_texts(spec: list) -> ComposeTexts:
    """The ops of a recipe's `augment` list for texts; ValueError as in `parse`."""
    return ComposeTexts(tuple(parse(spec)))


def misfit(item: Any, modality: str) -> str | None:
    """Why an item of an `augment` list does not suit this modality; None if it does."""
    ((name, _),) = parse([item])
    if name in OPS_OF.get(modality, {}):
        return None
    return f"{name} is for {next(PLURAL[kind] for kind, ops in OPS_OF.items() if name in ops)}"


def compose_sounds(spec: list) -> ComposeSounds:
    """The ops of a recipe's `augment` list for sounds; ValueError as in `parse`."""
    return ComposeSounds(tuple(parse(spec)))


def compose(spec: list) -> Compose:
    """The ops of a recipe's `augment` list as one `(image, rng) -> image`; ValueError as in `parse`."""
    return Compose(tuple(parse(spec)))


def parse(spec: list) -> list[tuple[str, dict[str, Any]]]:
    """Check a recipe's `augment` list; return (op name, given arguments) in order, with lists turned into tuples.

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
    if name not in _ALL:
        raise ValueError(f"unknown augmentation {_among(name, _ALL)}")
    given = given or {}
    try:
        values = _arguments(name).model_validate(given)
    except ValidationError as error:
        raise ValueError(f"{name}: {_explained(error, given, _arguments(name))}") from None
    if getattr(values, "magnitude", 0) >= getattr(values, "num_magnitude_bins", inf):
        raise ValueError(
            f"{name}: magnitude = {values.magnitude}; must be below num_magnitude_bins = {values.num_magnitude_bins}"
        )
    return name, {key: getattr(values, key) for key in given}


@cache
def _arguments(name: str) -> Any:
    """A pydantic model of an op's arguments except the input, the generator, the row and the rate, from its signature."""
    signature = inspect.signature(_ALL[name], eval_str=True)
    parameters = [p for p in list(signature.parameters.values())[2:] if p.name not in ("row", "rate")]
    fields: dict[str, Any] = {p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in parameters}
    return create_model(name, __config__=ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False), **fields)


def _explained(error: ValidationError, given: dict[Any, Any], model: type[BaseModel]) -> str:
    """The first mistake that pydantic found in an op's arguments, in one line."""
    item = error.errors()[0]
    key = item["loc"][0]
    if item["type"] in ("extra_forbidden", "invalid_key"):
        return f"unknown argument {_among(key, model.model_fields)}"
    problem = f"missing {key!r}, it" if item["type"] == "missing" else f"{key} = {given[key]!r};"
    return f"{problem} must be {model.model_fields[str(key)].description}"


def _among(name: Any, known: Iterable[str]) -> str:
    return f"{name!r}{nearest(name, known) or ';'} known: {', '.join(known)}"
