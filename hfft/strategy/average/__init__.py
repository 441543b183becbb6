"""Averages of weights along a training."""
