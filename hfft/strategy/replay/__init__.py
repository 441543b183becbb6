"""Methods that learn the rows of a memory again."""
