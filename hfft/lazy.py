"""Imports that are delayed until first use: the public names of a package, and torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.nn import functional as F


def names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """The `__getattr__` (PEP 562) and `__all__` of a package whose names are imported when first used.

    No name may be that of a module in the package: importing the module would replace the name.

    Args:
        homes: name -> the module to import it from.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, sorted(homes)


class _Later(ModuleType):
    """Stands in for a module, which is imported when an attribute is first used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


# `from hfft.lazy import torch, F`: a file can contain a spec and torch code, and still be imported without torch.
if not TYPE_CHECKING:
    torch, F = _Later("torch"), _Later("torch.nn.functional")
