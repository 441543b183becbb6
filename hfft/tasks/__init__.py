"""Tasks: what a model's outputs mean, which columns a task reads, what a problem is scored by. Needs no torch."""
