"""The uses of a pretrained model besides a fine-tune: what `hfft train` does for each, in a run folder as any other.

A use is a module with two functions. `run(recipe, arguments, folder)` works in an opened and locked run folder, writes
its recipe, its data note, `outputs/` and `model/`, and returns the contents of metrics.json, which the caller writes last, with
report and card. `check(recipe)` yields the lines of `hfft check --deep` and `hfft show`: what the run would do.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

MODULES = {"directly": "hfft.pipeline.uses.directly", "classifier": "hfft.pipeline.uses.classifier"}


def of(use: str) -> ModuleType:
    """The module of a use, imported when it is first needed."""
    return import_module(MODULES[use])
