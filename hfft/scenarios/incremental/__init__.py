"""Tasks that come one after another: their classes, a memory, what is measured, and new classes for a finished model."""
