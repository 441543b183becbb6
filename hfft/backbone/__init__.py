"""Part 1, the pretrained model: which weights to load, from where, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.backbone.load import (
        load_config,
        load_model,
        load_processor,
        load_published,
        load_published_config,
        load_tokenizer,
    )
    from hfft.backbone.locate import pinned, source
    from hfft.backbone.meta_model import build_meta_model

__getattr__, __all__ = names(
    __name__,
    {
        "load_config": "hfft.backbone.load",
        "load_model": "hfft.backbone.load",
        "load_processor": "hfft.backbone.load",
        "load_published": "hfft.backbone.load",
        "load_published_config": "hfft.backbone.load",
        "load_tokenizer": "hfft.backbone.load",
        "pinned": "hfft.backbone.locate",
        "source": "hfft.backbone.locate",
        "build_meta_model": "hfft.backbone.meta_model",
    },
)
