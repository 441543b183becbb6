"""The two files of a stored classifier. Imports no scikit-learn, so that other runs can ask for them."""

from __future__ import annotations

from pathlib import Path

ARRAYS, REST = "classifier.safetensors", "classifier.json"


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a classifier."""
    return (folder / REST).is_file()
