"""`hfft score --export`: the doubted labels of a scorecard in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfft.commands.predict import replaced, write_table
from hfft.errors import BadInput

if TYPE_CHECKING:
    from hfft.scorecard import Evidence


def check(path: str, blocks: str | None, full: bool) -> None:
    """Check that the file can be written as asked.

    Args:
        blocks: the blocks that are asked for by name, separated by commas.
        full: whether all are.

    Raises:
        BadInput: the block of doubted labels is not computed, or it is another kind of file.
    """
    named = [] if blocks is None else [name.strip() for name in blocks.split(",")]
    if "labels" not in named and not (full and blocks is None):
        raise BadInput("--export: writes the doubted labels; add --blocks labels, or leave it out")
    if Path(path).suffix not in (".csv", ".jsonl"):
        raise BadInput(f"--export {path}: the file name must end in .csv or .jsonl")


def write(path: str, evidence: Evidence, card: Mapping[str, Any]) -> None:
    """Write the doubted labels, the most doubted first.

    Raises:
        BadInput: there are none, or the file cannot be written.
    """
    from hfft.scorecard.doubted_rows import doubted_rows

    with replaced(path, "--export") as file:
        write_table(doubted_rows(evidence, card), file, Path(path).suffix)
