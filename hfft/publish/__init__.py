"""Publish: the model card, the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.publish.adapter import save_adapter, stands_alone
    from hfft.publish.card import write_card
    from hfft.publish.push import check_permission, publish

__getattr__, __all__ = names(
    __name__,
    {
        "save_adapter": "hfft.publish.adapter",
        "stands_alone": "hfft.publish.adapter",
        "write_card": "hfft.publish.card",
        "check_permission": "hfft.publish.push",
        "publish": "hfft.publish.push",
    },
)
