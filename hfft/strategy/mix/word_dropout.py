"""Word dropout: hide tokens of the input at random (Iyyer et al. 2015, ACL P15-1162; Bowman et al. 2016, arXiv:1511.06349)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Setting
from hfft.strategy.mix.tokens import IDS, attended, special_ids, token_draws, words

if TYPE_CHECKING:
    from torch import Tensor

FILLS = ("mask", "unk", "pad")


class WordDropout(MethodSpec):
    """Replace tokens of the training rows, special tokens excepted.

    Attributes:
        p: probability that a token is replaced; at least one of a row stays.
        fill: the token that takes its place; default: the first that the tokenizer has of mask, unk and pad.
    """

    main = "p"
    p: float = Field(default=0.05, ge=0, lt=1)
    fill: Literal["mask", "unk", "pad"] | None = None

    def build(self) -> Method | None:
        """The method; None if p is 0."""
        return Dropped(self) if self.p else None


class Dropped(Method):
    """Changes the inputs."""

    needs = frozenset({"inputs", "rows", "tokens"})
    problems = ("single_label_classification", "multi_label_classification", "regression")
    salt = 4

    def __init__(self, spec: WordDropout):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Find the ids of the special tokens, and the one that is put in.

        Raises:
            BadInput: the tokenizer has no such token.
        """
        self.special = special_ids(setting)
        self.fill = fill_id(setting, self.spec.fill)

    def batch(self, batch: Batch) -> None:
        """Replace some of the task's tokens."""
        assert batch.rows is not None
        own = batch.part(TASK)
        draws = token_draws(batch.at, batch.rows, attended(own), self.salt)
        gone = dropped(words(own, self.special), draws, self.spec.p)
        batch.replace(TASK, {IDS: word_dropout(own[IDS], gone, self.fill)})


def fill_id(setting: Setting, wanted: str | None) -> int:
    """The id of the token that takes the place of others."""
    source: Any = setting.tokenizer or getattr(setting.model, "config", None)
    for name in FILLS if wanted is None else (wanted,):
        found = getattr(source, f"{name}_token_id", None)
        if found is not None:
            return found
    what = "mask, unk or pad token" if wanted is None else f"{wanted} token"
    raise BadInput(
        f"strategy.word_dropout.fill: the tokenizer has no {what}; choose another, or leave word_dropout out"
    )


def dropped(words: Tensor, draws: Tensor, p: float) -> Tensor:
    """`(B, L)` whether a word's draw in [0, 1) is below p; the highest draw of a row stays, so that not all words go."""
    highest = draws.masked_fill(~words, -1.0).argmax(1, keepdim=True)
    return (words & (draws < p)).scatter(1, highest, False)


def word_dropout(ids: Tensor, gone: Tensor, fill: int) -> Tensor:
    """Token ids `(B, L)` with the id `fill` where `gone` `(B, L)` is true."""
    return torch.where(gone, torch.full_like(ids, fill), ids)
