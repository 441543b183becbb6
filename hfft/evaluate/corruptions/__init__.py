"""Corruptions of images and texts at five severities: what happens to inputs that nobody means to attack."""

SEVERITIES = 5
