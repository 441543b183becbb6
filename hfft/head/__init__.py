"""Part 2, the new task layer: it turns features into the task's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.head.find_head import dropout_entry, output_parameters, parameter_names, top_modules
    from hfft.head.replace_head import reinitialise, replace

__getattr__, __all__ = names(
    __name__,
    {
        "dropout_entry": "hfft.head.find_head",
        "output_parameters": "hfft.head.find_head",
        "parameter_names": "hfft.head.find_head",
        "top_modules": "hfft.head.find_head",
        "reinitialise": "hfft.head.replace_head",
        "replace": "hfft.head.replace_head",
    },
)
