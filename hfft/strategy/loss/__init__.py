"""The loss of a row: what replaces or weighs it."""
