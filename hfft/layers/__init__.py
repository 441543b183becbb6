"""Part 3, the unfrozen layers: which parameters learn, how fast, through which adapter."""

from hfft.layers.adapt import adapt, frozen_modules
from hfft.layers.adapters import mend_convolutions, merged, virtual_tokens
from hfft.layers.choose import learning, norms
from hfft.layers.depth import Depths, block_paths, depths
from hfft.layers.groups import decays, format_table, param_groups, table
from hfft.layers.proof import digest, frozen_digests, frozen_tensors, moved, whole
from hfft.layers.published import Published, check_base, published
from hfft.layers.published import pinned as pinned_adapter
from hfft.layers.schedule import Moment, begins, check_begins, largest, relative_gradients, shares
from hfft.layers.still import hold

__all__ = [
    "Depths",
    "Moment",
    "Published",
    "adapt",
    "begins",
    "block_paths",
    "check_base",
    "check_begins",
    "decays",
    "depths",
    "digest",
    "format_table",
    "frozen_digests",
    "frozen_modules",
    "frozen_tensors",
    "hold",
    "largest",
    "learning",
    "mend_convolutions",
    "merged",
    "moved",
    "norms",
    "param_groups",
    "pinned_adapter",
    "published",
    "relative_gradients",
    "shares",
    "table",
    "virtual_tokens",
    "whole",
]
