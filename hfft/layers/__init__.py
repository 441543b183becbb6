"""Part 3, the unfrozen layers: which parameters learn, how fast, through which adapter."""

from hfft.layers.adapt import adapt, hold_frozen
from hfft.layers.depth import Depths, depths
from hfft.layers.groups import decays, param_groups, table

__all__ = ["Depths", "adapt", "decays", "depths", "hold_frozen", "param_groups", "table"]
