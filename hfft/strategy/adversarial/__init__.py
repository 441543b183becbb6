"""Methods that find the worst weights or inputs nearby and learn there."""
