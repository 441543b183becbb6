"""Methods that mix rows with each other."""
