"""Part 3, the unfrozen layers: which parameters learn, how fast, and through which adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.layers.adapters.add import mend_convolutions, merged, virtual_tokens
    from hfft.layers.adapters.published import Published, check_base, pinned_adapter, published
    from hfft.layers.depth import Depths, block_paths, depths
    from hfft.layers.freeze import adapt, frozen_modules, hold, tokens_that_stay
    from hfft.layers.frozen_check import digest, frozen_digests, frozen_tensors, moved, whole
    from hfft.layers.parameter_groups import decays, format_table, param_groups, table
    from hfft.layers.schedules.moments import Moment, begins, check_begins
    from hfft.layers.schedules.surgical import largest, relative_gradients, shares
    from hfft.layers.select import learning, norms

__getattr__, __all__ = names(
    __name__,
    {
        "mend_convolutions": "hfft.layers.adapters.add",
        "merged": "hfft.layers.adapters.add",
        "virtual_tokens": "hfft.layers.adapters.add",
        "Published": "hfft.layers.adapters.published",
        "check_base": "hfft.layers.adapters.published",
        "pinned_adapter": "hfft.layers.adapters.published",
        "published": "hfft.layers.adapters.published",
        "Depths": "hfft.layers.depth",
        "block_paths": "hfft.layers.depth",
        "depths": "hfft.layers.depth",
        "adapt": "hfft.layers.freeze",
        "frozen_modules": "hfft.layers.freeze",
        "hold": "hfft.layers.freeze",
        "tokens_that_stay": "hfft.layers.freeze",
        "digest": "hfft.layers.frozen_check",
        "frozen_digests": "hfft.layers.frozen_check",
        "frozen_tensors": "hfft.layers.frozen_check",
        "moved": "hfft.layers.frozen_check",
        "whole": "hfft.layers.frozen_check",
        "decays": "hfft.layers.parameter_groups",
        "format_table": "hfft.layers.parameter_groups",
        "param_groups": "hfft.layers.parameter_groups",
        "table": "hfft.layers.parameter_groups",
        "Moment": "hfft.layers.schedules.moments",
        "begins": "hfft.layers.schedules.moments",
        "check_begins": "hfft.layers.schedules.moments",
        "largest": "hfft.layers.schedules.surgical",
        "relative_gradients": "hfft.layers.schedules.surgical",
        "shares": "hfft.layers.schedules.surgical",
        "learning": "hfft.layers.select",
        "norms": "hfft.layers.select",
    },
)
