"""Augmentations of texts, each a pure function of the text and a generator.

`op(text, rng, **arguments) -> text`: all randomness comes from the given generator, so a caller that seeds it by
(seed, epoch, row) gets the same text with any number of workers. Words are what whitespace separates, and the whitespace
between the words that stay is kept; a text of a language written without spaces is one word, which all ops of words return
as it is. A text with words never loses all of them. Ranges are checked by `hfft.data.augment.parse`, not by the ops.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from numpy.random import Generator
from pydantic import Field

from hfft.data.augment.image_ops import Probability

Share = Probability
Column = Annotated[str, Field(strict=True, min_length=1, description="the name of a column")]
Role = Annotated[Literal["text", "text_pair"], Field(description="'text' or 'text_pair'")]

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHIFTS = (0.0, 0.25, 0.75)  # how far a row of keys is shifted to the right, in keys


def word_drop(text: str, rng: Generator, p: Probability = 0.1) -> str:
    """Leave out each word with probability `p` (random deletion of EDA, arXiv:1901.11196); one at least stays."""
    words, gaps = _split(text)
    draws = rng.random(len(words))
    stays = [i for i, draw in enumerate(draws) if draw >= p] or [int(draws.argmax())]
    return text if len(stays) == len(words) else _kept(words, gaps, stays)


def word_swap(text: str, rng: Generator, share: Share = 0.1) -> str:
    """Exchange two drawn words, as often as this share of the words, at least once (random swap of EDA, arXiv:1901.11196)."""
    words, gaps = _split(text)
    if len(words) < 2 or share == 0:
        return text
    for _ in range(max(1, round(share * len(words)))):
        i, j = rng.choice(len(words), 2, replace=False)
        words[i], words[j] = words[j], words[i]
    return _joined(words, gaps)


def random_insertion(text: str, rng: Generator, share: Share = 0.1) -> str:
    """Repeat drawn words at drawn places, as many as this share of the words, at least one.

    EDA (arXiv:1901.11196) inserts synonyms from WordNet; these words are the text's own, in any language.
    """
    words, gaps = _split(text)
    if len(words) < 2 or share == 0:
        return text
    for word in rng.choice(words, max(1, round(share * len(words)))).tolist():
        place = int(rng.integers(len(words) + 1))
        words.insert(place, word)
        gaps.insert(min(place, len(gaps)), " ")
    return _joined(words, gaps)


def keyboard_typos(text: str, rng: Generator, p: Probability = 0.02) -> str:
    """Replace each letter with probability `p` by a neighbour on a QWERTY keyboard, in the same case; others stay."""
    letters = list(text)
    for i in (rng.random(len(letters)) < p).nonzero()[0]:
        near = NEIGHBOURS.get(letters[i].lower())
        if near is not None:
            typed = near[int(rng.integers(len(near)))]
            letters[i] = typed.upper() if letters[i].isupper() else typed
    return "".join(letters)


def random_case(text: str, rng: Generator, p: Probability = 0.1) -> str:
    """Write each word with probability `p` in upper case, in lower case or with a capital; nothing for uncased tokenizers."""
    words, gaps = _split(text)
    for i in (rng.random(len(words)) < p).nonzero()[0]:
        words[i] = (words[i].upper(), words[i].lower(), words[i].capitalize())[int(rng.integers(3))]
    return _joined(words, gaps)


def span_cutoff(text: str, rng: Generator, share: Share = 0.1) -> str:
    """Leave out a run of words, this share of them: one at least, and never all (span cutoff, arXiv:2009.13818)."""
    words, gaps = _split(text)
    if len(words) < 2 or share == 0:
        return text
    size = min(max(1, round(share * len(words))), len(words) - 1)
    start = int(rng.integers(len(words) - size + 1))
    return _kept(words, gaps, [*range(start), *range(start + size, len(words))])


def back_translation(
    text: str, rng: Generator, row: Mapping[str, Any], column: Column, p: Probability = 0.5, of: Role = "text"
) -> str:
    """With probability `p`, take the row's other wording from a column (back-translation as in UDA, arXiv:1904.12848).

    `column` holds what a translator made of the text, translated to another language and back; where a row has none, its
    text stays. `of` says which of a pair's texts it is another wording of.
    """
    other = row.get(column)
    drawn = rng.random() < p
    return other if drawn and isinstance(other, str) and other.strip() else text


def _split(text: str) -> tuple[list[str], list[str]]:
    """The words, and the whitespace between them; what surrounds the text is left out."""
    pieces = re.split(r"(\s+)", text.strip())
    return pieces[::2], pieces[1::2]


def _joined(words: Sequence[str], gaps: Sequence[str]) -> str:
    return "".join(piece for pair in zip(words, [*gaps, ""], strict=True) for piece in pair)


def _kept(words: Sequence[str], gaps: Sequence[str], places: Sequence[int]) -> str:
    """The words at these places, each but the first behind the whitespace that it stands behind."""
    return "".join(("" if n == 0 else gaps[i - 1]) + words[i] for n, i in enumerate(places))


def _neighbours() -> dict[str, str]:
    """Letter -> the letters whose keys touch its key."""
    places = {
        key: (shift + i, line)
        for line, (keys, shift) in enumerate(zip(_KEYS, _SHIFTS, strict=True))
        for i, key in enumerate(keys)
    }
    return {
        key: "".join(
            other
            for other, (across, down) in places.items()
            if other != key and abs(across - x) <= 1 and abs(down - y) <= 1
        )
        for key, (x, y) in places.items()
    }


NEIGHBOURS = _neighbours()
