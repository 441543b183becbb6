"""Mixup of word embeddings: average two texts token by token, and learn both labels (Guo et al. 2019, arXiv:1905.08941)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Setting
from hfft.strategy.mix.mixup import averaged_targets
from hfft.strategy.mix.pairs import CLASSES, Mixing
from hfft.strategy.mix.tokens import IDS, MASK, attended

if TYPE_CHECKING:
    from torch import Tensor, nn

PAIR, SHARES = "mixed_ids", "mixed_shares"  # beside the model's inputs: (B, L, 2) ids to average, and their factors
TYPES = "token_type_ids"


class EmbeddingMixup(MethodSpec):
    """Average each text's word embeddings with those of another one, and learn both labels.

    Attributes:
        alpha: a row's share is drawn from Beta(alpha, alpha). The paper uses 1; for pretrained models 0.1 to 0.4 is usual.
        until: the epoch, counted from 0, from which on rows are not mixed; None for never.
    """

    main = "alpha"
    alpha: float = Field(default=0.2, ge=0)
    until: int | None = Field(default=None, ge=0)

    def build(self) -> Method | None:
        """The method; None if alpha or until is 0."""
        return MixedEmbeddings(self) if self.alpha and self.until != 0 else None


class MixedEmbeddings(Mixing):
    """Changes inputs and targets; reads twice as many rows.

    Texts are aligned at the end at which they begin to be padded, and the shorter one is followed by zeros, as in the paper.
    The mixture is attended to wherever one of the two has a token.
    """

    needs = frozenset({"inputs", "tokens"})
    problems = (*CLASSES, "regression")
    salt = 3

    def __init__(self, spec: EmbeddingMixup):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Remember the number of rows.

        Raises:
            BadInput: the model has no table of word embeddings.
        """
        super().start(setting)
        try:
            setting.model.get_input_embeddings()  # type: ignore[operator]
        except (AttributeError, NotImplementedError):
            raise BadInput(
                "strategy.embedding_mixup: the model has no table of word embeddings to average; leave it out"
            ) from None

    def batch(self, batch: Batch) -> None:
        """Note the ids of each row and of its partner, and attend to the tokens of both."""
        if not self.on(batch.at.epoch):
            return
        labels = batch.part_labels[self.partner]
        partner, own = self.partners(batch), batch.part(TASK)
        lam = torch.from_numpy(self.shares(batch)).to(labels.device, torch.float32)
        first, second = attended(own), attended(partner)
        ids = batch.inputs[IDS]
        batch.inputs[PAIR] = torch.stack([ids, ids], -1)
        batch.inputs[SHARES] = torch.tensor([1.0, 0.0], device=ids.device).expand(*ids.shape, 2).contiguous()
        mixed = {
            PAIR: torch.stack([own[IDS], partner[IDS]], -1),
            SHARES: torch.stack([lam[:, None] * first, (1 - lam)[:, None] * second], -1),
            IDS: torch.where(first, own[IDS], partner[IDS]),  # what positions are counted by
        }
        if MASK in own:
            mixed[MASK] = own[MASK] | partner[MASK]
        if TYPES in own:
            mixed[TYPES] = torch.where(first, own[TYPES], partner[TYPES])
        batch.replace(TASK, mixed)
        batch.targets = averaged_targets(self.problem, batch.targets, labels, lam)

    @contextlib.contextmanager
    def around(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Average what the table of word embeddings returns."""
        if PAIR not in batch.inputs:
            yield
            return
        given: dict[str, Tensor] = {}

        def before(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            given.update({name: kwargs.pop(name) for name in (PAIR, SHARES)})
            return args, kwargs

        def looked_up(module: nn.Module, args: Any) -> Any:
            # only the first time: a decoder may use the same table again
            return torch.cat([*given[PAIR].unbind(-1)]) if given else args

        def averaged(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            if not given:
                return output
            shares = given.pop(SHARES)
            given.clear()
            left, right = output.chunk(2)
            return embedding_mixup(left, right, shares)

        table: Any = model.get_input_embeddings()  # type: ignore[operator]
        handles = [
            model.register_forward_pre_hook(before, with_kwargs=True),
            table.register_forward_pre_hook(looked_up),
            table.register_forward_hook(averaged),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def embedding_mixup(left: Tensor, right: Tensor, shares: Tensor) -> Tensor:
    """The sum of two texts' word embeddings `(B, L, D)`, each times its share `(B, L, 2)`, 0 where that text has no token."""
    shares = shares.to(left.dtype)
    return shares[..., :1] * left + shares[..., 1:] * right
