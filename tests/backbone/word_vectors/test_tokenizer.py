"""Texts are divided into the words that files of vectors have, the same when the tokenizer is loaded again."""

import pytest
from transformers import AutoTokenizer, PretrainedConfig

from hfft.backbone.word_vectors.tokenizer import PAD, UNK, word_tokenizer, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It doesn't work.", ["It", "does", "n't", "work", "."]),
        ("it does n't work", ["it", "does", "n't", "work"]),
        ("she's CAN'T they’ll", ["she", "'s", "CA", "N'T", "they", "'ll"]),
        ("U.S. prices: 1,000.5 or 3", ["U.S.", "prices", ":", "1,000.5", "or", "3"]),
        ("well -- no ... ``so'' !!", ["well", "--", "no", "...", "``", "so", "''", "!", "!"]),
        ("\tnai\u0308ve\n東京", ["na\u00efve", "東京"]),
    ],
)
def test_texts_are_divided_as_treebanks_are(text, words):
    tokenizer = word_tokenizer(sorted(set(words)), lower=False)
    assert tokenizer.tokenize(text) == words
    assert words_of([text]) == sorted(set(words))


def test_words_without_a_vector_share_an_id_and_padding_has_its_own(tmp_path):
    tokenizer = word_tokenizer(["the", "film"], lower=True)
    found = tokenizer(["The FILM", "the unknown film ."], padding=True)
    assert found["input_ids"] == [[2, 3, 0, 0], [2, 1, 3, 1]]
    assert found["attention_mask"] == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert (tokenizer.pad_token, tokenizer.unk_token, len(tokenizer)) == (PAD, UNK, 4)
    assert set(found) == {"input_ids", "attention_mask"}
    assert tokenizer("the", "film")["input_ids"] == [2, 3]
    tokenizer.model_max_length = 3
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, config=PretrainedConfig())
    assert again("The unknown film , the film", truncation=True)["input_ids"] == [2, 1, 3]
    assert again.get_vocab() == tokenizer.get_vocab()


def test_capital_letters_stay_where_the_vectors_have_them():
    assert word_tokenizer(["The", "the"], lower=False)("The the THE")["input_ids"] == [2, 3, 1]
