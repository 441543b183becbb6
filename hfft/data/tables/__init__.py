"""Files of rows before they are loaded: which there are, how they are written, what their first lines hold; without torch."""
