"""When each layer starts to learn, and how fast."""
