"""Weight averages over a training run."""
