"""`hfft train`: train, score and, if the recipe asks for it, publish."""

from __future__ import annotations

import argparse

from hfft.run import add_arguments as add_train_arguments
from hfft.run import train

HELP = "train, score and, if the recipe says so, publish"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_train_arguments(command, positional=True)


def run(given: argparse.Namespace) -> int:
    """Train a recipe in this process."""
    return train(given.recipe, given.overrides, given.fresh, given.force)
