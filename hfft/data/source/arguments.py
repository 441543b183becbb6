"""The part of a recipe's data section that `datasets.load_dataset` takes by the same names."""

from __future__ import annotations

from typing import Any

from hfft.data.spec import Data


def load_arguments(data: Data) -> dict[str, Any]:
    """The arguments that the recipe sets, besides `path` and `revision`."""
    stated = {key: value for key in ("name", "data_files", "data_dir") if (value := getattr(data, key)) is not None}
    return {**stated, "streaming": data.streaming}
