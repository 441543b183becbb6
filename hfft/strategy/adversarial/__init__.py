"""Methods that look for the worst weights or inputs nearby, and learn there."""
