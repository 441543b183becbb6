"""Methods that hold weights, features or answers in check."""
