"""The figures of each set of a mix, from the outputs of the rows that they share a split with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hfft.data import Splits
from hfft.data.beside import values_of
from hfft.data.spec import SET, Data
from hfft.evaluate.outputs import Outputs
from hfft.processes import by_first_process, say


@by_first_process
def by_set(
    data: Data, splits: Splits, scored: Iterable[str], folder: Path, metrics: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Split -> set -> its metrics with `n`; empty without a mix. Splits whose outputs are not stored are left out.

    Args:
        scored: the splits that were scored.
        folder: their outputs, `<split>.safetensors`.
    """
    found: dict[str, dict[str, Any]] = {}
    for split in scored if data.mix else ():
        path = folder / f"{split}.safetensors"
        if not path.is_file():
            say(f"the sets of {split} are not scored apart: its outputs are not stored (score.outputs)")
        else:
            names = np.array(values_of("data.mix", data, splits, split, SET))
            found[split] = of_groups(Outputs.read(path), names, metrics)
    return found


def of_groups(outputs: Outputs, names: np.ndarray, metrics: Sequence[str]) -> dict[str, Any]:
    """Name -> the metrics of its rows, in the order in which the names first occur.

    Means over classes are left out of a set that has no row of some class: it would count as one that is never found.

    Args:
        names: of each row, `(N,)`.
    """
    found = {}
    for name in dict.fromkeys(names.tolist()):
        rows = outputs.of_rows(names == name)
        partial = rows.references is not None and len(np.unique(rows.references)) < len(outputs.labels.names)
        chosen = [metric for metric in metrics if not (partial and "macro" in metric)]
        found[str(name)] = rows.score(chosen)["metrics"]
    return found
