"""Methods that limit the gradient before the optimiser sees it."""
