"""Divide texts into the words that files of vectors have, and the fast tokenizer that does it for a finished model too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, UNK = "<pad>", "<unk>"
# Words as in the Penn Treebank, whose way GloVe's corpora were divided: "doesn't" is "does" and "n't". Numbers with points or
# commas in them stay whole, as do rows of dots, dashes and quotation marks; other signs stand alone.
WORDS = (
    r"(?i)(?:[a-z]\.){2,}|\w+(?=n't\b)|n't\b|'(?:s|m|re|ve|ll|d)\b|\d+(?:[.,:]\d+)+|\w+|\.{2,}|-{2,}|`{2}|'{2}|[^\w\s]"
)


def words_of(texts: Iterable[str]) -> list[str]:
    """The different words of some texts, sorted, with their capital letters."""
    normalizer, splitter = _normalizer(lower=False), _splitter()
    found: set[str] = set()
    for text in texts:
        found.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return sorted(found)


def word_tokenizer(words: Sequence[str], lower: bool, **settings: Any) -> PreTrainedTokenizerFast:
    """The tokenizer of a vocabulary: id 0 is padding, 1 any word without a vector, then the words in their order.

    Args:
        words: without repetition, and without the two names of these.
        lower: whether texts are made lower case first.
        settings: of `PreTrainedTokenizerFast`.
    """
    vocabulary = {word: i for i, word in enumerate([PAD, UNK, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    tokenizer.normalizer = _normalizer(lower)
    tokenizer.pre_tokenizer = _splitter()
    given = {"pad_token": PAD, "unk_token": UNK, "model_input_names": ["input_ids", "attention_mask"], **settings}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **given)


def _normalizer(lower: bool) -> Any:
    steps = [normalizers.NFC(), normalizers.Replace("’", "'")]
    return normalizers.Sequence([*steps, normalizers.Lowercase()] if lower else steps)


def _splitter() -> Any:
    return pre_tokenizers.Split(Regex(WORDS), "removed", invert=True)
