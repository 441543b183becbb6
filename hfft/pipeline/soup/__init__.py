"""Average the weights of finished runs, and interpolate between a run's start and its end."""
