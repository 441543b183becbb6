"""Tasks: what a model's outputs mean, which columns a task reads, which metrics score it. Needs no torch."""
