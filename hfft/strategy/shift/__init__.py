"""Methods that learn from rows of another distribution beside those of the task."""
