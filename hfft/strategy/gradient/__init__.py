"""Methods that change the direction of the gradient before it is clipped."""
