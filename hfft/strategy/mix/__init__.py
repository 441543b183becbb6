"""Methods that mix rows with one another."""
