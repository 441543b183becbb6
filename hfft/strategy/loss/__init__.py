"""The loss of a row: methods that replace or weight it."""
