"""Methods that also learn from rows of another distribution."""
