"""Methods that learn from another model."""
