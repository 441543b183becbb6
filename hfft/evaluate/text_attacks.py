"""Attacks that measure a finished text classifier: a few words changed by letters or replaced, and moved embeddings.

The first two are black-box: they see losses alone. A text's words are ordered by how much the loss rises without each (as in
TextFooler, arXiv:1907.11932); then one word after another is changed, to the candidate of the highest loss. Of a pair, the
second text is attacked. Words are what whitespace separates, and punctuation around them stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfft.data.augment.text_ops import NEIGHBOURS
from hfft.strategy.adversarial.attacks import per_row, within
from hfft.strategy.adversarial.embeddings import added

Text = str | tuple[str, str]
Logits = Callable[[list[Any]], Tensor]  # texts -> (N, C)
Candidates = Callable[[str, np.random.Generator], list[str]]  # a word without punctuation -> words to put in its place
WORDS = 3  # changed in a text at most
EXAMINED = 32  # words of a text whose importance is measured; of longer texts they are drawn
CHOICES = 8  # candidates for a word
SHORTEST = (
    4  # letters of a word that is changed by letters: its first and last stay (Pruthi et al. 2019, arXiv:1905.11268)
)


def by_letters(word: str, rng: np.random.Generator) -> list[str]:
    """The word with two inner letters exchanged, one left out, one doubled, or one mistyped; at most `CHOICES`, drawn."""
    if len(word) < SHORTEST or not word.isalpha():
        return []
    found = set()
    for i in range(1, len(word) - 1):
        found |= {word[:i] + word[i + 1 :], word[:i] + word[i] + word[i:]}
        if i < len(word) - 2:
            found.add(word[:i] + word[i + 1] + word[i] + word[i + 2 :])
        near = NEIGHBOURS.get(word[i].lower(), "")
        found |= {word[:i] + key + word[i + 1 :] for key in near}
    ordered = sorted(found - {word})
    chosen = rng.choice(len(ordered), min(CHOICES, len(ordered)), replace=False)
    return [ordered[i] for i in np.sort(chosen)]


class Neighbouring:
    """Whole words of a tokenizer that are near a word in the model's table of input embeddings, by the cosine.

    They are often related and not always synonyms: an accuracy under them says how far the answer hangs on single words.

    Args:
        table: `(V, D)`.
    """

    def __init__(self, tokenizer: Any, table: Tensor):
        before = tokenizer("a", add_special_tokens=False)["input_ids"]
        words = {tokenizer.convert_tokens_to_string([token]).strip(): i for token, i in tokenizer.get_vocab().items()}
        words = {word: i for word, i in words.items() if len(word) > 1 and word.isalpha() and i < len(table)}
        encoded = tokenizer([f"a {word}" for word in words], add_special_tokens=False)["input_ids"] if words else []
        whole = [(w, i) for (w, i), ids in zip(words.items(), encoded, strict=True) if ids == [*before, i]]
        self.words = [word for word, _ in whole]
        self.places = {word: place for place, word in enumerate(self.words)}
        self.vectors = F.normalize(table[[i for _, i in whole]].detach().float().cpu(), dim=1)

    def __call__(self, word: str, rng: np.random.Generator) -> list[str]:
        """The nearest words, written with a capital as the word is; none if it is no single token."""
        place = self.places.get(word, self.places.get(word.lower()))
        if place is None:
            return []
        near = (self.vectors @ self.vectors[place]).topk(min(2 * CHOICES, len(self.words))).indices.tolist()
        others = [self.words[i] for i in near if self.words[i].lower() != word.lower()][:CHOICES]
        return [other.capitalize() if word[:1].isupper() else other for other in others]


@dataclass
class Attacked:
    """A text under attack: its words and the whitespace between them, and which words are worth changing first."""

    pieces: list[str]
    whole: Text
    order: list[int]

    @classmethod
    def of(cls, text: Text) -> Attacked:
        """A text, or the second one of a pair."""
        return cls(re.split(r"(\s+)", (text if isinstance(text, str) else text[1]).strip()), text, [])

    @property
    def words(self) -> list[str]:
        """Its words."""
        return self.pieces[::2]

    def put(self, place: int, word: str) -> Text:
        """The text with another word in this place."""
        pieces = [*self.pieces]
        pieces[2 * place] = word
        changed = "".join(pieces).strip()
        return changed if isinstance(self.whole, str) else (self.whole[0], changed)


def ordered(texts: Sequence[Text], labels: Tensor, logits: Logits, seed: int) -> list[Attacked]:
    """Texts with their words by importance: the rise of the loss without each word."""
    found = [Attacked.of(text) for text in texts]
    places = []
    for row, one in enumerate(found):
        count = len(one.words)
        drawn = np.random.default_rng((seed, row)).choice(count, min(count, EXAMINED), replace=False)
        places.append([int(i) for i in np.sort(drawn)] if count > 1 else [0])
    without = [
        one.put(i, "") if len(one.words) > 1 else one.whole
        for one, some in zip(found, places, strict=True)
        for i in some
    ]
    repeats = torch.tensor([len(some) for some in places])
    losses = _losses(logits(without), labels.repeat_interleave(repeats)).split(repeats.tolist())
    for one, some, values in zip(found, places, losses, strict=True):
        one.order = [some[i] for i in values.argsort(descending=True, stable=True).tolist()]
    return found


def substituted(
    texts: Sequence[Attacked], labels: Tensor, right: np.ndarray, logits: Logits, candidates: Candidates, seed: int
) -> list[np.ndarray]:
    """Which rows are right `(N,)` with at most 1, 2, … `WORDS` words changed, greedily; a word stays if no candidate is worse.

    Args:
        texts: from `ordered`.
        right: `(N,)` which are right without a change; only these are attacked.
    """
    right, found = right.copy(), []
    now = [Attacked([*one.pieces], one.whole, [*one.order]) for one in texts]
    losses_now = _losses(logits([one.whole for one in texts]), labels)
    for _ in range(WORDS):
        tried: list[tuple[int, int, str]] = []
        for row in right.nonzero()[0].tolist():
            for place, choices in _next(now[row], candidates, seed, row):
                tried += [(row, place, word) for word in choices]
                break
        if tried:
            answers = logits([now[row].put(place, word) for row, place, word in tried])
            losses = _losses(answers, labels[[row for row, *_ in tried]])
            wrong = answers.argmax(1) != labels[[row for row, *_ in tried]]
            best: dict[int, int] = {}
            for i, (row, *_) in enumerate(tried):
                right[row] &= not bool(wrong[i])
                if row not in best or losses[i] > losses[best[row]]:
                    best[row] = i
            for row, i in best.items():
                if losses[i] > losses_now[row]:
                    now[row].pieces[2 * tried[i][1]], losses_now[row] = tried[i][2], losses[i]
        found.append(right.copy())
    return found


def _next(one: Attacked, candidates: Candidates, seed: int, row: int) -> Iterator[tuple[int, list[str]]]:
    """(place, words to put there) for the words that can be changed, most important first; each is given once."""
    while one.order:
        place = one.order.pop(0)
        before, core, after = _core(one.words[place])
        if choices := candidates(core, np.random.default_rng((seed, row, place))):
            yield place, [f"{before}{choice}{after}" for choice in choices]


def _core(word: str) -> tuple[str, str, str]:
    """A word without the punctuation around it."""
    found = re.fullmatch(r"(\W*)(.*?)(\W*)", word, re.DOTALL)
    assert found is not None
    return found[1], found[2], found[3]


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), labels, reduction="none")


def moved_embeddings(
    logits: Callable[[Tensor], Tensor],
    table: nn.Module,
    mask: Tensor,
    width: int,
    labels: Tensor,
    radius: float,
    steps: int,
    seed: int,
) -> Tensor:
    """Which rows of a batch are right `(B,)` at every step of PGD on their embeddings (a radius as in FreeLB, arXiv:1909.11764).

    Args:
        logits: places in the batch `(b,)` -> the model's answers to these rows, `(b, C)`.
        table: its input embedding.
        mask: `(B, L)`: 1 for tokens, 0 for padding, which is not moved.
        width: of an embedding.
        radius: of the Euclidean length of a text's change, all tokens together; a step is a quarter of it.
    """
    real, rows = mask[..., None].float(), torch.arange(len(mask), device=mask.device)
    noise = torch.randn(*mask.shape, width, generator=torch.Generator().manual_seed(seed)).to(mask.device)
    change, right = per_row(noise * real) * radius / 2, torch.ones(len(mask), dtype=torch.bool, device=mask.device)
    for step in range(steps + 1):
        with torch.enable_grad():
            change = change.detach().requires_grad_()
            with added(table, change * real[rows]) as calls:
                answers = logits(rows)
            if not calls:
                raise RuntimeError("the model does not read its input embedding")
            stays = answers.argmax(1) == labels[rows]
            right[rows[~stays]] = False
            if step == steps or not stays.any():
                break
            slope = torch.autograd.grad(F.cross_entropy(answers, labels[rows], reduction="sum"), change)[0]
        rows, change, slope = rows[stays], change.detach()[stays], slope[stays]
        change = within(change + radius / 4 * per_row(slope * real[rows]), radius)
    return right
