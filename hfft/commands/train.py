"""`hfft train`: train, score and, if the recipe asks for it, publish."""

from __future__ import annotations

import argparse

from hfft.run import train


def run(given: argparse.Namespace) -> int:
    """Train a recipe in this process."""
    return train(given.recipe, given.overrides, given.fresh, given.force)
