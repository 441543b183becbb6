"""Methods that decide which rows an epoch holds, and in which order."""
