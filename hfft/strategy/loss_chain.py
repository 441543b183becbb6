"""The loss of a row: that of the problem, replaced or wrapped by methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hfft.strategy.method import At, Inner, Method

if TYPE_CHECKING:
    from torch import Tensor

LossOfRow = Callable[["Tensor", "Tensor", At], "Tensor"]


def chain(methods: Sequence[Method], loss: Callable[[Tensor, Tensor], Tensor]) -> LossOfRow:
    """The loss of a row: the problem's loss or its replacement, wrapped by the other methods."""
    links = sorted(methods, key=lambda method: not method.replaces_loss)

    def whole_chain(logits: Tensor, labels: Tensor, at: At) -> Tensor:
        inner: Inner = loss
        for method in links:
            inner = _bound(method, inner, at)
        return inner(logits, labels)

    return whole_chain


def _bound(method: Method, inner: Inner, at: At) -> Inner:
    return lambda logits, labels: method.example_loss(inner, logits, labels, at)
