"""Token and span cutoff: learn from texts of which tokens are removed, consistently (Shen et al. 2020, arXiv:2009.13818)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting, Target
from hfft.strategy.mix.consistency import jensen_shannon
from hfft.strategy.mix.pairs import CLASSES
from hfft.strategy.mix.tokens import MASK, attended, special_ids, token_draws, words
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor

VIEW = "token_cutoff"


class TokenCutoff(MethodSpec):
    """Also learn each text without some of its tokens, and give both the same answer; a step costs twice as much.

    Attributes:
        share: of a row's tokens that are cut, rounded down, special tokens excepted; the paper uses 0.05 to 0.3.
        span: cut tokens that follow each other, instead of drawn ones.
        alpha: factor of the task loss of the cut text, beside that of the whole one; the paper uses 1.
        weight: factor of the Jensen-Shannon divergence between both predictions; the paper uses 1, and 0 leaves it out.
    """

    main = "share"
    share: float = Field(default=0.1, ge=0, lt=1)
    span: bool = False
    alpha: float = Field(default=1.0, ge=0)
    weight: WeightSpec = 1.0

    def build(self) -> Method | None:
        """The method; None if nothing is cut, or what is cut counts nothing."""
        return Cut(self) if self.share and (self.alpha or not is_zero(self.weight)) else None


class Cut(Method):
    """Runs each row twice, the second time without some tokens.

    A token is removed by hiding it from attention, as the paper's code does besides setting its embedding to zero: what
    nobody attends to, reaches no output, and the other tokens keep their positions.
    """

    needs = frozenset({"inputs", "rows", "tokens"})
    problems = CLASSES
    passes = 2
    salt = 5

    def __init__(self, spec: TokenCutoff):
        self.spec, self.weight = spec, Weight(spec.weight)

    def start(self, setting: Setting) -> None:
        """Find the ids of the special tokens."""
        self.special, self.multi_label = special_ids(setting), setting.problem.multi_label

    def batch(self, batch: Batch) -> None:
        """Add the same rows without some tokens.

        Raises:
            BadInput: the model takes no attention mask.
        """
        assert batch.rows is not None
        own = batch.part(TASK)
        if MASK not in own:
            raise BadInput("strategy.token_cutoff: the model takes no attention_mask to hide tokens; leave it out")
        draws = token_draws(batch.at, batch.rows, attended(own), self.salt)
        gone = (cut_span if self.spec.span else cut_tokens)(words(own, self.special), draws, self.spec.share)
        batch.put(VIEW, {**own, MASK: own[MASK] * ~gone})
        if self.spec.alpha:
            batch.targets = [*batch.targets, *(self._view(t) for t in batch.targets if t.part == TASK)]

    def _view(self, target: Target) -> Target:
        """The target, for the cut text."""
        ones = torch.ones(len(target.labels), device=target.labels.device)
        return replace(target, factor=self.spec.alpha * (ones if target.factor is None else target.factor), part=VIEW)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence of each row, if it counts."""
        if is_zero(self.spec.weight):
            return {}
        views = [seen.logits[TASK], seen.logits[VIEW]]
        return {"token_cutoff": self.weight(seen.at) * jensen_shannon(views, self.multi_label)}


def cut_tokens(words: Tensor, draws: Tensor, share: float) -> Tensor:
    """`(B, L)` the words with the smallest draws `(B, L)` of their row: this share of them, rounded down."""
    ranks = draws.masked_fill(~words, 2.0).argsort(dim=1, stable=True).argsort(dim=1)
    return words & (ranks < _count(words, share))


def cut_span(words: Tensor, draws: Tensor, share: float) -> Tensor:
    """`(B, L)` words that follow each other: this share of a row's, rounded down, from a place by its first word's draw."""
    size = _count(words, share)
    first = words.long().argmax(1, keepdim=True)
    start = (draws.gather(1, first) * (words.sum(1, keepdim=True) - size + 1)).long()
    places = words.long().cumsum(1) - 1
    return words & (places >= start) & (places < start + size)


def _count(words: Tensor, share: float) -> Tensor:
    """`(B, 1)` this share of each row's words, rounded down; a tiny addition undoes what 0.1 lacks in binary."""
    return (words.sum(1, keepdim=True) * share + 1e-6).floor().long()
