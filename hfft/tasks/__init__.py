"""Tasks: what a model's outputs mean, which columns a task reads, what it is scored by. Needs no torch."""
