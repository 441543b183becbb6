"""What a run notes of its data: the state of the files, the rows of each split, and the content of its training rows."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hfft.processes import by_first_process
from hfft.runs.folder import RunFolder, write

NOTE, ROWS = "data.json", "trained_rows.safetensors"


@by_first_process
def note_data(
    folder: RunFolder, files: str | None, rows: dict[str, str], trained: np.ndarray | None, named_files: bool = False
) -> None:
    """Note the data that a run is trained on; training rows of an earlier start are kept.

    Args:
        files: a digest of the files' state; None if they are not on this machine.
        rows: split -> fingerprint of its rows.
        trained: `(N,)` int64, a digest of each training row; None if they are a stream.
        named_files: whether the rows name other files, such as images.

    Raises:
        RunError: the folder was removed.
    """
    folder.write_json(NOTE, {"files": files, "rows": rows, "named_files": named_files})
    if trained is not None:
        earlier = trained_rows(folder.path)
        unique = np.unique(trained if earlier is None else np.concatenate([earlier, trained]))
        write(folder.path / ROWS, save({"train": unique}))


@by_first_process
def data_of_run(folder: RunFolder) -> dict[str, Any] | None:
    """What the run noted; None if an earlier version made it, or the note is damaged."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads((folder.path / NOTE).read_text(encoding="utf-8")))
    return None


def trained_rows(folder: Path) -> np.ndarray | None:
    """The digests of the rows that a run was trained on, without duplicates; None if they are not known."""
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        return load((folder / ROWS).read_bytes())["train"]
    return None
