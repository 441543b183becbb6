"""Methods that change the learning rates of a step, beside the scheduler."""
