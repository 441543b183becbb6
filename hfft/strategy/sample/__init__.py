"""Methods that decide which rows an epoch contains, and in which order."""
