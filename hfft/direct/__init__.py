"""Answer for the classes of any data with a pretrained model as it is: by its own head, or zero-shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.direct.answer import answering, reloaded
    from hfft.direct.base import KEY, Answering

__getattr__, __all__ = names(
    __name__,
    {
        "KEY": "hfft.direct.base",
        "Answering": "hfft.direct.base",
        "answering": "hfft.direct.answer",
        "reloaded": "hfft.direct.answer",
    },
)
