"""Corruptions of images, texts and sounds at five severities: what happens to inputs that nobody means to attack."""

SEVERITIES = 5
