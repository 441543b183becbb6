"""The part of a recipe's data section that `datasets.load_dataset` takes by the same names."""

from __future__ import annotations

import csv
from typing import Any

from hfft.data.spec import Data


def load_arguments(data: Data) -> dict[str, Any]:
    """The arguments that the recipe sets, besides `path` and `revision`; those of a reader are refused by all others."""
    keys = ("name", "data_files", "data_dir", "sep", "encoding", "field")
    stated = {key: value for key in keys if (value := getattr(data, key)) is not None}
    if data.quoting is not None:
        stated["quoting"] = csv.QUOTE_NONE if data.quoting == "none" else csv.QUOTE_MINIMAL
    if data.missing != [""]:
        stated |= {"na_values": data.missing, "keep_default_na": False}
    return {**stated, "streaming": data.streaming}


def remote_tables(data: Data) -> dict[str, Any]:
    """The arguments with which pandas reads tables from the web as ours are read here; their dialect is not looked at."""
    tabs = {"sep": "\t"} if data.sep is None and ".tsv" in str(data.data_files).lower() else {}
    return {**tabs, "na_values": data.missing, "keep_default_na": False}
