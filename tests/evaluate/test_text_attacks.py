"""Attacks on texts: words changed by importance with a budget, and embeddings moved within a radius."""

import numpy as np
import pytest
import torch
from torch import nn

from hfft.evaluate.text_attacks import (
    CHOICES,
    WORDS,
    Attacked,
    Neighbouring,
    by_letters,
    moved_embeddings,
    ordered,
    substituted,
)

GOOD = {"good": 2.0, "fine": 1.0, "nice": 0.5, "bad": -2.0, "dull": -1.0}


def logits(texts):
    """Class 1 for texts whose known words sum to above 0: a model that is known in full."""
    seconds = [text if isinstance(text, str) else text[1] for text in texts]
    sums = torch.tensor([sum(GOOD.get(word.strip(".,!()").lower(), 0.0) for word in text.split()) for text in seconds])
    return torch.stack([-sums, sums], 1)


def test_words_are_ordered_by_the_rise_of_the_loss_without_each():
    (found,) = ordered(["a nice, film and good fun fine"], torch.tensor([1]), logits, 0)
    assert [found.words[i] for i in found.order[:3]] == ["good", "fine", "nice,"]
    (found,) = ordered(["a nice, film and good fun fine"], torch.tensor([0]), logits, 0)
    assert [found.words[i] for i in found.order[-3:]] == ["nice,", "fine", "good"]


def test_the_budget_is_the_number_of_words_and_the_greedy_choice_the_worst_candidate():
    texts = ["good film", "good fine film", "good fine nice film", "bad story", "film"]
    labels = torch.tensor([1, 1, 1, 1, 0])
    right = np.array([True, True, True, False, True])
    candidates = {"good": ["so", "bad"], "fine": ["dull", "so"], "nice": ["so"], "bad": ["so"]}
    seen = []

    def tracked(given):
        seen.extend(given)
        return logits(given)

    found = substituted(
        ordered(texts, labels, logits, 0), labels, right, tracked, lambda w, _: candidates.get(w, []), 0
    )
    # good -> bad turns the first (-2) and second (-2 + 1), and leaves the third at -0.5
    assert found[0].tolist() == [False, False, False, False, True]
    assert len(found) == WORDS
    assert "so story" not in seen  # a wrong row is not attacked


def test_a_row_that_needs_three_words_falls_at_the_third():
    texts, labels = ["good good good"], torch.tensor([1])
    found = substituted(ordered(texts, labels, logits, 0), labels, np.array([True]), logits, lambda *_: ["so"], 0)
    assert [bool(one[0]) for one in found] == [True, True, False]
    found = substituted(
        ordered(["good " * 4], labels, logits, 0), labels, np.array([True]), logits, lambda *_: ["so"], 0
    )
    assert [bool(one[0]) for one in found] == [True, True, True]


def test_a_word_that_no_candidate_makes_worse_stays():
    texts, labels = ["good film"], torch.tensor([1])
    tried = []

    def tracked(given):
        tried.append(list(given))
        return logits(given)

    choices = {"good": ["good"], "film": ["nice"]}
    substituted(
        ordered(texts, labels, logits, 0), labels, np.array([True]), tracked, lambda w, _: choices.get(w, []), 0
    )
    assert tried[-1] == ["good nice"]
    choices = {"good": ["nice"], "film": ["fine"]}
    substituted(
        ordered(texts, labels, logits, 0), labels, np.array([True]), tracked, lambda w, _: choices.get(w, []), 0
    )
    assert tried[-1] == ["nice fine"]


def test_accuracy_never_rises_with_the_budget_and_draws_are_those_of_the_seed():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([*GOOD, "film", "story", "actor"], 6)) for _ in range(40)]
    labels = logits(texts).argmax(1)
    one, two = (
        substituted(ordered(texts, labels, logits, 0), labels, np.ones(40, bool), logits, by_letters, 0)
        for _ in range(2)
    )
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    shares = [found.mean() for found in one]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 1


def test_of_a_pair_the_second_text_is_changed_and_whitespace_and_punctuation_stay():
    one = Attacked.of(("left as  it is", " a \t(good), film\nof note "))
    assert one.words == ["a", "(good),", "film", "of", "note"]
    assert one.put(1, "(bad),") == ("left as  it is", "a \t(bad), film\nof note")
    labels = torch.tensor([1])
    tried = []

    def tracked(given):
        tried.extend(given)
        return logits(given)

    substituted(ordered([one.whole], labels, logits, 0), labels, np.array([True]), tracked, lambda w, _: [w + "x"], 0)
    assert ("left as  it is", "a \t(goodx), film\nof note") in tried


@pytest.mark.parametrize("word", ["question", "Paris", "word"])
def test_letters_change_inside_a_word_by_one_edit_and_at_most_so_many(word):
    found = by_letters(word, np.random.default_rng(0))
    assert 0 < len(found) <= CHOICES
    assert len(set(found)) == len(found)
    for one in found:
        assert one != word
        assert (one[0], one[-1]) == (word[0], word[-1])
        assert abs(len(one) - len(word)) <= 1


@pytest.mark.parametrize("word", ["", "a", "the", "1999", "don't", "的"])
def test_short_words_and_numbers_are_left_alone(word):
    assert by_letters(word, np.random.default_rng(0)) == []


class Tokenizer:
    """A word is a token where it is known; others are cut into letters."""

    words = ("a", "good", "fine", "great", "bad", "##ing", "x1")

    def get_vocab(self):
        return {word: i for i, word in enumerate(self.words)}

    def convert_tokens_to_string(self, tokens):
        return " ".join(tokens)

    def __call__(self, texts, add_special_tokens=False):
        single = isinstance(texts, str)
        found = [
            [i for word in text.split() for i in ([self.words.index(word)] if word in self.words else [99, 99])]
            for text in ([texts] if single else texts)
        ]
        return {"input_ids": found[0] if single else found}


def test_neighbours_are_the_nearest_whole_words_by_cosine():
    table = torch.tensor([[9.0, 9], [1.0, 0], [0.9, 0.4], [3.0, 0.1], [-1.0, 0.1], [1.0, 0], [1.0, 0]])
    near = Neighbouring(Tokenizer(), table)
    rng = np.random.default_rng(0)
    assert near.words == ["good", "fine", "great", "bad"]
    assert near("good", rng) == ["great", "fine", "bad"]
    assert near("Good", rng) == ["Great", "Fine", "Bad"]
    assert near("unknown", rng) == []
    assert Neighbouring(Tokenizer(), table[:1])("good", rng) == []


class Sums(nn.Module):
    """Logits (s, -s), where s is the mean over real tokens of one number of the embedding: linear in the embeddings."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.table.weight.data = torch.arange(15.0).view(5, 3) / 10

    def forward(self, ids, mask):
        s = (self.table(ids)[..., 0] * mask).sum(1) / mask.sum(1)
        return torch.stack([s, -s], 1)


def test_embeddings_move_by_the_radius_and_no_further_and_padding_not_at_all():
    """Of a text with n tokens the mean s falls at most by radius / sqrt(n), when the change is spread over its tokens."""
    model = Sums()
    ids, mask = torch.tensor([[1, 2, 1, 0], [3, 0, 0, 0]]), torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    labels = torch.tensor([0, 0])
    margins = model(ids, mask).detach()[:, 0] * mask.sum(1).sqrt()

    def right(radius):
        rows = []

        def answers(places):
            rows.append(places.tolist())
            return model(ids[places], mask[places])

        return moved_embeddings(answers, model.table, mask, 3, labels, radius, 30, 0), rows

    for row in range(2):
        assert right(0.98 * float(margins[row]))[0][row]
        assert not right(1.02 * float(margins[row]))[0][row]
    found, rows = right(1.02 * float(margins.min()))
    assert found.sum() == 1
    assert rows[-1] == found.nonzero()[:, 0].tolist()  # a wrong row is not asked for again
    assert model.table.weight.grad is None
    assert not model.table._forward_hooks


def test_a_model_that_does_not_read_its_embedding_is_said():
    with pytest.raises(RuntimeError, match="does not read"):
        moved_embeddings(
            lambda rows: torch.zeros(1, 2), nn.Embedding(3, 2), torch.ones(1, 2), 2, torch.tensor([0]), 1, 1, 0
        )
