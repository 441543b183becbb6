"""The vocabulary of a recurrent net on a file of word vectors: it has the words of the training texts."""

from __future__ import annotations

from collections.abc import Iterator

from hfft import data
from hfft.backbone.word_vectors.build import from_file, vectors_of, without_vector
from hfft.backbone.word_vectors.tokenizer import words_of
from hfft.recipe import Recipe


def with_vocabulary(recipe: Recipe, splits: data.Splits) -> tuple[Recipe, list[str]]:
    """The recipe with the words of its training texts, and a line about those without a vector; others are unchanged.

    Raises:
        BadInput: no word has a vector, or the file is damaged.
    """
    backbone = recipe.backbone
    if not from_file(backbone):
        return recipe, []
    if splits.sizes["train"] is None:
        return recipe, [
            f"vocabulary: the first {len(vectors_of(backbone).words):,} words of {backbone.name}, since rows are streamed"
        ]
    backbone = backbone.with_words(tuple(words_of(_texts(recipe, splits))))
    missing, found = without_vector(backbone), vectors_of(backbone)
    total = len(set(backbone.words) if found.cased else {word.lower() for word in backbone.words})
    line = (
        f"{len(missing):,} of {total:,} words of the training texts have no vector and share one; the vocabulary has "
        f"{len(found.words):,} words"
    )
    return recipe.model_copy(update={"backbone": backbone}), [line]


def _texts(recipe: Recipe, splits: data.Splits) -> Iterator[str]:
    inputs = recipe.the_task.modality.inputs
    for one in splits.tasks.values() if splits.tasks else [splits]:
        for row in one.train:
            text = inputs.of_row(row, one.columns)
            yield from text if isinstance(text, tuple) else (text,)
