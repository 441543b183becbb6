"""Part 3, the unfrozen layers: which parameters learn, how fast, through which adapter."""

from hfft.layers.adapt import adapt, frozen_modules
from hfft.layers.depth import Depths, depths
from hfft.layers.groups import decays, format_table, param_groups, table

__all__ = ["Depths", "adapt", "decays", "depths", "format_table", "frozen_modules", "param_groups", "table"]
