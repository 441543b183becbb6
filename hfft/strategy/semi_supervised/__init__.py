"""Methods that learn from rows without labels of the task's own distribution, by what the model itself predicts for them."""
