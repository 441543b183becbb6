"""Corruptions of texts at five rates, which are the chance of a letter or a word to be changed.

A word is what whitespace separates. The draws are those of (seed, row, corruption) and the same for the five rates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from hfft.data.augment.text_ops import keyboard_typos, random_case, word_drop

RATES = (0.05, 0.10, 0.15, 0.20, 0.25)


def character_swap(text: str, rng: np.random.Generator, p: float) -> str:
    """Exchange each letter with the next one of its word with probability `p`; a letter moves once."""
    letters, draws, i = list(text), rng.random(len(text)), 0
    while i < len(letters) - 1:
        if draws[i] < p and letters[i].isalpha() and letters[i + 1].isalpha():
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
            i += 1
        i += 1
    return "".join(letters)


def character_drop(text: str, rng: np.random.Generator, p: float) -> str:
    """Leave out each letter with probability `p`; one letter of a text stays."""
    draws = rng.random(len(text))
    kept = [letter for letter, draw in zip(text, draws, strict=True) if draw >= p or not letter.isalpha()]
    return "".join(kept) if "".join(kept).strip() else text


CORRUPTIONS: dict[str, Callable[[str, np.random.Generator, float], str]] = {
    "keyboard_typos": keyboard_typos,
    "character_swap": character_swap,
    "character_drop": character_drop,
    "word_drop": word_drop,
    "case": random_case,
}


def corrupted(text: str | tuple[str, str], name: str, seed: int, row: int) -> list[str | tuple[str, str]]:
    """A text, or both texts of a pair, at the five rates of a corruption."""
    number = list(CORRUPTIONS).index(name)

    def at(part: str, place: int, rate: float) -> str:
        return CORRUPTIONS[name](part, np.random.default_rng((seed, row, number, place)), rate)

    one = functools.partial(at, text, 0) if isinstance(text, str) else None
    if one is not None:
        return [one(rate) for rate in RATES]
    return [(at(text[0], 0, rate), at(text[1], 1, rate)) for rate in RATES]
