"""Inputs that belong to no class, made from nothing or from the task's own rows, where a user gives none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

Make = Callable[[Iterable[Any], np.random.Generator], Iterable[Any]]
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def gaussian(images: Iterable[Any], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Normal noise of mean 0.5 and standard deviation 0.5, of the sizes of the images."""
    return (_image(np.clip(rng.normal(0.5, 0.5, _shape(one)), 0, 1), one) for one in images)


def bernoulli(images: Iterable[Any], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Each value is white with probability 0.7, else black."""
    return (_image((rng.random(_shape(one)) < 0.7).astype(float), one) for one in images)


def blobs(images: Iterable[Any], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Blurred noise of that kind, with what is below 0.75 set to black (Hendrycks, Mazeika & Dietterich 2019)."""
    from scipy.ndimage import gaussian_filter

    for one in images:
        shape = _shape(one)
        values = gaussian_filter((rng.random(shape) < 0.7).astype(float), sigma=(1.5, 1.5, 0)[: len(shape)])
        yield _image(np.where(values < 0.75, 0, np.clip(values, 0, 1)), one)


def shuffled_words(texts: Iterable[Any], rng: np.random.Generator) -> list[Any]:
    """The words of each text in another order."""

    def one(text: str) -> str:
        return " ".join(rng.permutation(np.array(text.split(), dtype=object)))

    return _each(texts, one)


def random_words(texts: Iterable[Any], rng: np.random.Generator) -> list[Any]:
    """As many words as each text has, drawn from those of all texts."""
    texts = list(texts)
    known = np.array([word for text in texts for part in _parts(text) for word in part.split()], dtype=object)
    return _each(texts, lambda text: " ".join(rng.choice(known, len(text.split()))))


def random_letters(texts: Iterable[Any], rng: np.random.Generator) -> list[Any]:
    """Words of the same lengths from random letters."""
    return _each(texts, lambda text: " ".join("".join(rng.choice(LETTERS, len(word))) for word in text.split()))


def white_noise(sounds: Iterable[Any], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """White noise as long and as loud as each sound."""
    for one in sounds:
        values = np.asarray(one["array"], np.float32)
        noise = rng.standard_normal(len(values)) * max(float(np.sqrt(np.mean(np.square(values)))), 1e-3)
        yield {"array": noise.astype(np.float32), "sampling_rate": one["sampling_rate"]}


def shuffled_pieces(sounds: Iterable[Any], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The pieces of 50 ms of each sound in another order."""
    for one in sounds:
        values, size = np.asarray(one["array"], np.float32), max(round(0.05 * one["sampling_rate"]), 1)
        pieces = np.split(values, range(size, len(values), size))
        yield {
            "array": np.concatenate([pieces[i] for i in rng.permutation(len(pieces))]),
            "sampling_rate": one["sampling_rate"],
        }


# modality -> name -> (how inputs are made, whether they are near the task's own)
SETS: dict[str, dict[str, tuple[Make, bool]]] = {
    "image": {"gaussian": (gaussian, False), "bernoulli": (bernoulli, False), "blobs": (blobs, False)},
    "text": {
        "shuffled_words": (shuffled_words, True),
        "random_words": (random_words, True),
        "random_letters": (random_letters, False),
    },
    "audio": {"shuffled_pieces": (shuffled_pieces, True), "white_noise": (white_noise, False)},
}


def _shape(image: Image.Image) -> tuple[int, ...]:
    """Height, width and, where there are several, channels of the noise for an image."""
    size = (image.height, image.width)
    return size if image.mode in ("1", "L", "I", "F", "I;16") else (*size, 3)


def _image(values: np.ndarray, like: Image.Image) -> Image.Image:
    made = Image.fromarray((values * 255).round().astype(np.uint8))
    return made if made.mode == like.mode or like.mode not in ("RGBA", "P", "1") else made.convert(like.mode)


def _parts(text: Any) -> tuple[str, ...]:
    return text if isinstance(text, tuple) else (text,)


def _each(texts: Iterable[Any], change: Callable[[str], str]) -> list[Any]:
    """Texts, or both texts of pairs, changed."""
    return [tuple(map(change, text)) if isinstance(text, tuple) else change(text) for text in texts]
